//! The key of `trunkline dev`: where no configuration has one, it makes one at random and keeps it in the data directory, so
//! that tokens can be tried without any preparation. `trunkline token new` signs with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use trunkline_auth::{Algorithm, Key, Signer};

use crate::config::{AuthSettings, Mode, Settings};

const FILE: &str = "token.key";
const ALGORITHM: Algorithm = Algorithm::HS256;
/// Bytes of randomness.
const SIZE: usize = 32;
/// The longest file that is read, in bytes.
const FILE_MAX: u64 = 4_096;

/// Where it is kept.
pub(crate) fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// Whether settings have no key, and are to be given one.
pub(crate) fn is_wanted(settings: &Settings, mode: Mode) -> bool {
    let auth = &settings.auth;
    mode == Mode::Dev && auth.verifier.keys.is_empty() && auth.jwks.is_none()
}

/// Gives `settings` of a `dev` that have no key the one of its data directory, which must be there.
///
/// # Errors
/// A sentence: the file cannot be read, or made, or holds no key.
pub(crate) fn add(settings: &mut Settings, mode: Mode) -> Result<(), String> {
    if !is_wanted(settings, mode) {
        return Ok(());
    }
    let path = path(&settings.server.data);
    let secret = create(&path).and_then(|()| read(&path));
    let secret = secret.map_err(|error| format!("the key of tokens {}: {error}", path.display()))?;
    take(&mut settings.auth, &secret)
        .map_err(|error| format!("the key of tokens {}: {error}", path.display()))
}

/// Settings that sign with the key of the `dev` that keeps its data here.
///
/// # Errors
/// A sentence: there is none.
pub(crate) fn load(data: &Path) -> Result<AuthSettings, String> {
    let path = path(data);
    let secret = read(&path).map_err(|error| {
        format!(
            "there is no key to sign with: {}: {error}. `trunkline dev` makes one when it is started there (--data names \
             another directory); --config names a configuration with one",
            path.display()
        )
    })?;
    let mut auth = AuthSettings::open();
    take(&mut auth, &secret).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(auth)
}

fn take(auth: &mut AuthSettings, secret: &[u8]) -> Result<(), String> {
    let key = Key::from_secret(ALGORITHM, secret).map_err(|error| error.to_string())?;
    let signer = Signer::from_secret(ALGORITHM, secret, None).map_err(|error| error.to_string())?;
    auth.verifier.keys.push(key);
    auth.signers.push(signer);
    Ok(())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut secret = Vec::new();
    File::open(path)?.take(FILE_MAX).read_to_end(&mut secret)?;
    Ok(secret.trim_ascii().to_vec())
}

/// Makes it, unless it is there.
fn create(path: &Path) -> io::Result<()> {
    let mut secret = [0; SIZE];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        file => file?,
    };
    writeln!(file, "{}", BASE64.encode(secret))
}
