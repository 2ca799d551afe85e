//! `[admin]`: who runs the server, and where they find it.

use std::net::SocketAddr;
use std::path::Path;

use super::auth::{SECRET_MIN, read};
use crate::admin::AdminToken;
use crate::dto::AdminTable;

/// Those who run the server.
#[derive(Debug, Default)]
pub(crate) struct AdminSettings {
    /// What they show.
    pub(crate) token: Option<AdminToken>,
    /// An address of its own.
    pub(crate) listen: Option<SocketAddr>,
}

impl AdminSettings {
    /// What `table` says. Files are looked for beside the configuration, in `dir`.
    pub(super) fn apply(&mut self, table: &AdminTable, dir: &Path) -> Result<(), String> {
        let token = match (&table.token, &table.token_file) {
            (None, None) => None,
            (Some(token), None) => Some(token.clone()),
            (None, Some(file)) => {
                let text = String::from_utf8(read(dir, file)?.trim_ascii().to_vec());
                Some(text.map_err(|_| format!("{file} holds what is no text"))?)
            }
            (Some(_), Some(_)) => return Err("`token` or `token_file`, and not both".to_owned()),
        };
        if let Some(token) = &token
            && token.len() < SECRET_MIN
        {
            return Err(format!(
                "the token has {} characters; it has at least {SECRET_MIN}, made at random: openssl rand -base64 32",
                token.len()
            ));
        }
        if let Some(token) = &token
            && !token.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err("the token has characters that cannot stand in a header".to_owned());
        }
        self.token = token.as_deref().map(AdminToken::new);
        if let Some(listen) = &table.listen {
            let wrong = |_| {
                format!("listen: {listen:?} is no address with a port; write one like \"127.0.0.1:9090\"")
            };
            self.listen = Some(listen.parse().map_err(wrong)?);
        }
        Ok(())
    }
}
