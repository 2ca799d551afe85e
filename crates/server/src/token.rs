//! `trunkline token`: makes tokens with the keys of a configuration, and shows what is in one.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use trunkline_auth::{NewToken, look_into};
use trunkline_model::{Capabilities, Capability, ChannelName, ChannelPattern, Grant, Offset, Timestamp};

use crate::cli::{Failure, ServerOptions, TokenNewOptions, TokenShowOptions};
use crate::config::{Mode, Settings};
use crate::{dev_key, units};

/// Prints a token that the servers of this configuration take.
pub(crate) fn new(options: &TokenNewOptions) -> anyhow::Result<()> {
    let auth = match &options.config {
        Some(config) => read(config)?.auth,
        None => dev_key::load(&options.data).map_err(Failure::Usage)?,
    };
    let Some(signer) = auth.signers.first() else {
        let config = options.config.as_deref().unwrap_or(Path::new("this")).display();
        let message = format!(
            "{config} has no key to sign with: of [[auth.keys]] those with a `secret` or a `secret_file` can; whoever has a \
             private key signs with that"
        );
        return Err(Failure::Usage(message).into());
    };
    let usage = |what: &str, error: String| Failure::Usage(format!("{what}: {error}"));
    let lives = units::duration(&options.expires).map_err(|error| usage("--expires", error))?;
    let allow = options.allow.iter().map(|text| grant(text)).collect::<Result<_, _>>();
    let channels = options.channel.iter().map(|name| ChannelName::parse(name)).collect::<Result<_, _>>();
    let info = options.info.as_deref().map(serde_json::from_str).transpose();
    let only = options.subscribe.as_deref().map(ChannelName::parse).transpose();
    let token = NewToken {
        user: options.user.clone(),
        issuer: auth.verifier.issuers.first().cloned(),
        audience: auth.verifier.audiences.first().cloned(),
        allow: allow.map_err(|error| usage("--allow", error))?,
        channels: channels.map_err(|error| usage("--channel", error.to_string()))?,
        info: info.map_err(|error| usage("--info", format!("this is no JSON: {error}")))?,
        only: only.map_err(|error| usage("--subscribe", error.to_string()))?,
        can: options.can.as_deref().map(can).transpose().map_err(|error| usage("--can", error))?,
        from: options.from.map(Offset),
    };
    let signed = signer.sign(&token, now(), lives)?;
    // What the servers would say to it.
    auth.verifier.verify(&signed, now()).map_err(|denied| Failure::Usage(denied.to_string()))?;
    writeln!(io::stdout(), "{signed}")?;
    Ok(())
}

/// Prints what a token says, and what the servers of a configuration would say to it.
pub(crate) fn show(options: &TokenShowOptions) -> anyhow::Result<()> {
    let mut token = options.token.clone();
    if token == "-" {
        token.clear();
        io::stdin().read_to_string(&mut token).context("standard input could not be read")?;
    }
    let token = token.trim();
    let Some((head, claims)) = look_into(token) else {
        return Err(Failure::Usage(
            "this is no token: three parts of base64url with `.` between them".to_owned(),
        )
        .into());
    };
    let verdict = match &options.config {
        None => serde_json::json!("not asked: --config names keys to verify it with"),
        Some(config) => match read(config)?.auth.verifier.verify(token, now()) {
            Ok(_) => serde_json::json!("good"),
            Err(denied) => serde_json::json!(denied.to_string()),
        },
    };
    let shown = serde_json::json!({ "head": head, "claims": claims, "verdict": verdict });
    writeln!(io::stdout(), "{shown:#}")?;
    Ok(())
}

fn read(path: &Path) -> Result<Settings, Failure> {
    let options = ServerOptions { config: Some(path.to_owned()), ..ServerOptions::default() };
    Ok(Settings::read(Mode::Serve, &options)?.0)
}

/// `chat:*=subscribe,publish`
fn grant(text: &str) -> Result<Grant, String> {
    let (channels, words) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} has no `=`; write it like \"chat:*=subscribe,publish\""))?;
    let channels = ChannelPattern::parse(channels).map_err(|error| format!("{channels:?}: {error}"))?;
    Ok(Grant { channels, can: can(words)? })
}

/// `subscribe,publish`
fn can(words: &str) -> Result<Capabilities, String> {
    let word = |word: &str| {
        let known = Capability::ALL.iter().copied().find(|known| known.as_str() == word);
        known.ok_or_else(|| {
            let known: Vec<_> = Capability::ALL.iter().map(|known| known.as_str()).collect();
            format!("{word:?} is none of {}", known.join(", "))
        })
    };
    words.split(',').map(word).collect()
}

fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
