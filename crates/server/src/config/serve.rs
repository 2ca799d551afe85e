//! What `trunkline serve` refuses to start with, each with the line that mends it.

use trunkline_model::{Kind, Rule};

use super::{Layers, Mode, Settings};
use crate::cli::{Failure, ServerOptions};
use crate::listen::Listen;

/// What to write where nothing is written yet.
const EXAMPLE: &str = r#"
  # trunkline.toml
  [[auth.keys]]
  algorithm = "HS256"
  secret_file = "token.key"        # openssl rand -base64 32 > token.key

  [namespace.chat]                 # the channels chat:lobby, chat:42, …
  kind = "log"
  subscribe = "user"               # whoever has a token that names a user
  publish = "subscribers"
"#;

impl Settings {
    /// What these options come to, if it is something to meet strangers with.
    ///
    /// # Errors
    /// [`Failure::Usage`] says what is wrong, and what to write instead.
    pub(crate) fn to_serve(options: &ServerOptions) -> Result<(Self, Layers), Failure> {
        let (settings, layers) = Self::read(Mode::Serve, options)?;
        if options.config.is_none() && layers.namespaces().is_empty() {
            let message = format!(
                "`trunkline serve` needs a configuration that says who may do what:\n{EXAMPLE}\n  trunkline serve --config \
                 trunkline.toml\n\nThat is for this machine; for others it takes a certificate, too (`[server.tls]`). `trunkline dev` needs none, and is open to everyone on this machine"
            );
            return Err(Failure::Usage(message));
        }
        let faults = settings.faults();
        if faults.is_empty() {
            return Ok((settings, layers));
        }
        let file =
            options.config.as_deref().map_or_else(|| "this".to_owned(), |path| path.display().to_string());
        let faults = faults.join("\n- ");
        Err(Failure::Usage(format!("{file}{} is not safe to serve with:\n\n- {faults}", layers.others())))
    }

    /// What is unsafe, or makes no sense, for a server that strangers reach.
    fn faults(&self) -> Vec<String> {
        let listen = &self.server.listen;
        let mut faults = Vec::new();
        if self.namespaces.names().next().is_none() {
            faults
                .push(format!("there is no namespace, so there are no channels. Add one, like:\n{EXAMPLE}"));
        }
        let auth = &self.auth;
        let has_keys = !auth.verifier.keys.is_empty() || auth.jwks.is_some();
        if !auth.anonymous && !has_keys {
            faults.push(
                "nobody could connect: there are no keys to verify tokens with, and nobody comes in without one. Add\n\n  \
                 [[auth.keys]]\n  algorithm = \"HS256\"\n  secret_file = \"token.key\"        # openssl rand -base64 32 > \
                 token.key\n"
                    .to_owned(),
            );
        }
        if auth.jwks.is_some() && auth.verifier.audiences.is_empty() {
            faults.push(
                "a set of keys signs for every application of its provider, and nothing says which tokens are for this \
                 one. In [auth] write\n\n  audience = \"…\"        # what the provider calls this application\n"
                    .to_owned(),
            );
        }
        for (name, namespace) in self.namespaces.iter() {
            let open = match namespace.publish {
                Rule::Anyone => true,
                Rule::Subscribers => namespace.subscribe == Rule::Anyone,
                Rule::User | Rule::Owner | Rule::Token | Rule::Server => false,
            };
            if auth.anonymous && open {
                faults.push(format!(
                    "anyone could publish to {name}:*, without a token. In [namespace.{name}] write\n\n  \
                     publish = \"user\"\n\nor in [auth]\n\n  anonymous = false\n"
                ));
            }
            if namespace.kind == Kind::Log && namespace.publish == Rule::Server && auth.api_keys.is_empty() {
                faults.push(format!(
                    "nobody could publish to {name}:*, which only the HTTP API may: it has no keys. Add\n\n  \
                     [[auth.api_keys]]\n  name = \"backend\"\n  key_file = \"api.key\"        # openssl rand -base64 32 > \
                     api.key\n  allow = [{{ channels = \"{name}:*\", can = [\"publish\"] }}]\n"
                ));
            }
        }
        faults.extend(self.plaintext_fault(listen));
        faults.extend(self.admin_fault());
        faults.extend(self.proxy_fault());
        faults
    }

    /// A server that waits for headers and believes nobody's takes no connection.
    pub(crate) fn proxy_fault(&self) -> Option<String> {
        let takes_any = !self.server.proxies.is_empty() || matches!(self.server.listen, Listen::Unix(_));
        (self.server.proxy_protocol && !takes_any).then(|| {
            "with `proxy_protocol` only proxies may connect, and there are none. In [server] write\n\n  proxies = \
             [\"10.0.0.1\"]        # where the balancer connects from\n"
                .to_owned()
        })
    }

    fn admin_fault(&self) -> Option<String> {
        let listen = self.admin.listen.filter(|listen| !listen.ip().is_loopback())?;
        (self.admin.token.is_none()).then(|| {
            format!(
                "whoever reaches {listen} would see what the server counts, without a token. In [admin] write\n\n  token_file \
                 = \"admin.token\"        # openssl rand -base64 32 > admin.token\n\nor\n\n  listen = \"127.0.0.1:{}\"\n",
                listen.port()
            )
        })
    }

    fn plaintext_fault(&self, listen: &Listen) -> Option<String> {
        let Listen::Tcp(address) = listen else { return None };
        if listen.is_local() || self.server.tls.is_some() || self.server.plaintext {
            return None;
        }
        Some(format!(
            "tokens and messages would cross the network in the clear. Write\n\n  [server.tls]\n  certificate = \
             \"chain.pem\"\n  key = \"key.pem\"\n\nor, to have a certificate given by Let's Encrypt, if port 443 of that name \
             leads here,\n\n  [server.acme]\n  domains = [\"chat.example.org\"]\n  terms_agreed = true        # of \
             https://letsencrypt.org/repository/\n\nor run a proxy that speaks TLS on this machine, and\n\n  --listen \
             127.0.0.1:{}\n\nor, if the network behind {} is your own, write\n\n  [server]\n  plaintext = true\n",
            address.port(),
            address.ip()
        ))
    }
}
