//! The shapes of configuration and of HTTP queries, as serde reads them. Checked and turned into nouns by
//! `config` and `api`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The configuration file.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// The namespaces by name.
    #[serde(default)]
    pub(crate) namespace: BTreeMap<String, NamespaceTable>,
    /// Compression of WebSocket messages.
    pub(crate) compression: Option<CompressionTable>,
    /// The application behind the server.
    pub(crate) rpc: Option<RpcTable>,
    /// Who is let in.
    pub(crate) auth: Option<AuthTable>,
    /// The port, and what is there.
    pub(crate) server: Option<ServerTable>,
    /// How much of everything there may be.
    pub(crate) limits: Option<CapsTable>,
    /// Those who run it.
    pub(crate) admin: Option<AdminTable>,
    /// What it says of its doings.
    pub(crate) log: Option<LogTable>,
}

/// `[log]`
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table, like { level = \"info\", format = \"json\" }")]
pub(crate) struct LogTable {
    pub(crate) level: Option<String>,
    pub(crate) format: Option<String>,
}

/// `[admin]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, like { token_file = \"admin.token\" }")]
pub(crate) struct AdminTable {
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<String>,
    /// An address of its own.
    pub(crate) listen: Option<String>,
}

/// Shows no secret.
impl fmt::Debug for AdminTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminTable").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// `[limits]`
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table, like { connections = 15000 }")]
pub(crate) struct CapsTable {
    pub(crate) connections: Option<usize>,
    /// Of one address.
    pub(crate) connections_per_address: Option<usize>,
    /// Of one user.
    pub(crate) connections_per_user: Option<usize>,
    /// Of the process.
    pub(crate) memory: Option<String>,
    /// Of one session.
    pub(crate) subscriptions: Option<usize>,
    /// How fast one connection sends them.
    pub(crate) commands: Option<String>,
    /// What may wait for one client.
    pub(crate) outbox: Option<String>,
    /// How long one may take.
    pub(crate) handshake: Option<String>,
}

/// `[server]`
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table, like { origins = [] }")]
pub(crate) struct ServerTable {
    /// Where it listens.
    pub(crate) listen: Option<String>,
    /// Where the database is.
    pub(crate) data: Option<String>,
    /// Worker threads.
    pub(crate) workers: Option<u16>,
    /// Pages of others that may connect.
    pub(crate) origins: Vec<String>,
    /// Whether `/echo` is there.
    pub(crate) echo: Option<bool>,
    /// Whether the pages are there.
    pub(crate) pages: Option<bool>,
    /// Whether the network may be read by others.
    pub(crate) plaintext: Option<bool>,
    /// Proxies whose word counts.
    pub(crate) proxies: Option<Vec<String>>,
    /// How it ends.
    pub(crate) drain: Option<DrainTable>,
    /// The certificate, if it speaks TLS itself.
    pub(crate) tls: Option<TlsTable>,
    /// The authority that gives it one.
    pub(crate) acme: Option<AcmeTable>,
    /// Whether every connection begins with a PROXY header.
    pub(crate) proxy_protocol: Option<bool>,
}

/// `[server.tls]`
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, expecting = "a table, like { certificate = \"chain.pem\", key = \"key.pem\" }")]
pub(crate) struct TlsTable {
    /// The file of the certificate.
    pub(crate) certificate: String,
    /// The file of its key.
    pub(crate) key: String,
}

/// `[server.acme]`
#[derive(Deserialize, Debug)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, like { domains = [\"chat.example.org\"], terms_agreed = true }"
)]
pub(crate) struct AcmeTable {
    /// The names that the certificate is for.
    pub(crate) domains: Vec<String>,
    /// Whom the authority may write to.
    pub(crate) contact: Option<String>,
    /// Whether its terms are agreed to.
    pub(crate) terms_agreed: Option<bool>,
    /// Where the authority says what it can do.
    pub(crate) directory: Option<String>,
    /// A file with what it is trusted by, if the system does not trust it.
    pub(crate) roots: Option<String>,
}

/// `server.drain`
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table, like { delay = \"5s\", within = \"10s\" }")]
pub(crate) struct DrainTable {
    /// How long it goes on when it is not ready any more.
    pub(crate) delay: Option<String>,
    /// Over how long clients leave.
    pub(crate) within: Option<String>,
}

/// `[auth]`
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default, expecting = "a table, like { anonymous = false }")]
pub(crate) struct AuthTable {
    /// Whether one comes in without a token.
    pub(crate) anonymous: Option<bool>,
    /// What tokens say as `iss`.
    pub(crate) issuer: Option<OneOrMore>,
    /// What they say as `aud`.
    pub(crate) audience: Option<OneOrMore>,
    /// How far clocks may be apart.
    pub(crate) leeway: Option<String>,
    /// The name of a cookie that may hold a token.
    pub(crate) cookie: Option<String>,
    /// What tokens are verified with.
    pub(crate) keys: Vec<TokenKeyTable>,
    /// A set of keys that is fetched.
    pub(crate) jwks: Option<JwksTable>,
    /// Keys of the HTTP API.
    pub(crate) api_keys: Vec<ApiKeyTable>,
}

/// `auth.jwks`
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, expecting = "a table, like { url = \"https://id.example.com/jwks.json\" }")]
pub(crate) struct JwksTable {
    /// Where it is.
    pub(crate) url: String,
    /// How often it is fetched.
    pub(crate) refresh: Option<String>,
}

/// A text or a list of them.
#[derive(Deserialize, Debug)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(crate) fn all(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::More(more) => more.clone(),
        }
    }
}

/// `[[auth.keys]]`
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, like { algorithm = \"HS256\", secret_file = \"token.key\" }"
)]
pub(crate) struct TokenKeyTable {
    /// The one algorithm that it is for.
    pub(crate) algorithm: String,
    /// What tokens call it.
    pub(crate) kid: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) secret_file: Option<String>,
    pub(crate) public_key: Option<String>,
    pub(crate) public_key_file: Option<String>,
}

/// Shows no secret.
impl fmt::Debug for TokenKeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeyTable").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// `[[auth.api_keys]]`
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, like { name = \"backend\", key_file = \"api.key\", allow = [] }"
)]
pub(crate) struct ApiKeyTable {
    /// What logs call it, and the scope of its idempotency keys.
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    pub(crate) key_file: Option<String>,
    /// What it may do.
    pub(crate) allow: Vec<GrantTable>,
}

/// Shows no key.
impl fmt::Debug for ApiKeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyTable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `{ channels = "chat:*", can = ["publish"] }`
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, expecting = "a table, like { channels = \"chat:*\", can = [\"publish\"] }")]
pub(crate) struct GrantTable {
    pub(crate) channels: String,
    pub(crate) can: Vec<String>,
}

/// `[rpc]`
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, expecting = "a table, like { url = \"http://127.0.0.1:9000/rpc\" }")]
pub(crate) struct RpcTable {
    /// Where calls go.
    pub(crate) url: String,
    /// How long one may take.
    pub(crate) timeout: Option<String>,
}

/// `[compression]`
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, expecting = "a table, like { level = 1 }")]
pub(crate) struct CompressionTable {
    pub(crate) enabled: Option<bool>,
    /// From fast to small.
    pub(crate) level: Option<u32>,
    /// Messages below it are sent as they are.
    pub(crate) size_min: Option<String>,
}

/// `[namespace.NAME]`: the table that later versions extend.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamespaceTable {
    /// What its channels keep.
    pub(crate) kind: KindWord,
    /// When a publish is answered.
    pub(crate) acknowledge: Option<AcknowledgeWord>,
    /// How often a subscriber is told at most.
    pub(crate) max_rate: Option<String>,
    /// How much of what is stored is kept.
    pub(crate) keep: Option<KeepTable>,
    /// How much is replayed to a client that comes back.
    pub(crate) recover: Option<RecoverTable>,
    /// How long idempotency keys are remembered.
    pub(crate) keys: Option<String>,
    /// Who may follow its channels, read their past and see who is there.
    pub(crate) subscribe: Option<SubscribeWord>,
    /// Who may publish.
    pub(crate) publish: Option<PublishWord>,
    /// Who may edit and delete.
    pub(crate) edits: Option<EditsWord>,
    /// What becomes of a subscriber that is slow.
    pub(crate) slow: Option<SlowWord>,
    /// How much its subscribers may know of each other.
    pub(crate) presence: Option<PresenceWord>,
    /// How long after its last connection a member is gone.
    pub(crate) grace: Option<String>,
    /// Caps of its channels.
    pub(crate) limits: Option<LimitsTable>,
}

#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KindWord {
    Log,
    Value,
    Map,
    Signal,
}

#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SubscribeWord {
    Anyone,
    User,
    Owner,
    Token,
    Nobody,
}

#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PublishWord {
    Anyone,
    User,
    Owner,
    Subscribers,
    Token,
    Server,
}

#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EditsWord {
    Author,
    Token,
    Nobody,
}

#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SlowWord {
    CatchUp,
    Disconnect,
}

#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PresenceWord {
    Off,
    Count,
    Full,
}

#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AcknowledgeWord {
    Disk,
    Memory,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, expecting = "a table, like { age = \"30d\" }")]
pub(crate) struct KeepTable {
    /// Of each channel.
    pub(crate) entries: Option<u64>,
    /// Of all channels of the namespace.
    pub(crate) size: Option<String>,
    pub(crate) age: Option<String>,
    /// How long removed entries are told of.
    pub(crate) removals: Option<String>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoverTable {
    pub(crate) entries: Option<u32>,
    pub(crate) bytes: Option<String>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsTable {
    /// The largest payload of one publication.
    pub(crate) message: Option<String>,
    /// How fast one connection publishes.
    pub(crate) rate: Option<String>,
    /// How many of that at once.
    pub(crate) burst: Option<u32>,
    /// How fast all together publish to a channel.
    pub(crate) channel_rate: Option<String>,
    /// Members of one channel's presence.
    pub(crate) members: Option<usize>,
}

/// The query of `GET …/messages`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessagesQuery {
    pub(crate) before: Option<u64>,
    pub(crate) after: Option<u64>,
    pub(crate) limit: Option<u32>,
    /// `epoch:offset`.
    pub(crate) at: Option<String>,
}

/// The body of a call of the application.
#[derive(Serialize, Debug)]
pub(crate) struct RpcBody<'a> {
    pub(crate) method: &'a str,
    /// JSON as it was given, to the letter.
    pub(crate) data: &'a RawValue,
    pub(crate) client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
}

/// Why the application did not do what it was asked.
#[derive(Deserialize, Debug)]
pub(crate) struct RpcRefusal {
    pub(crate) code: String,
    pub(crate) message: Option<String>,
    /// In ms.
    pub(crate) retry: Option<u64>,
}

/// One message from a server, as the command line prints it.
#[derive(Deserialize, Debug)]
pub(crate) struct ServerMessage {
    pub(crate) r#type: String,
    pub(crate) channel: Option<String>,
    pub(crate) offset: Option<u64>,
    pub(crate) from: Option<String>,
    pub(crate) code: Option<serde_json::Value>,
    pub(crate) message: Option<String>,
    pub(crate) data: Option<Box<RawValue>>,
    pub(crate) text: Option<String>,
    pub(crate) binary: Option<String>,
    #[serde(default)]
    pub(crate) items: Vec<ServerMessageItem>,
}

/// One item of a page.
#[derive(Deserialize, Debug)]
pub(crate) struct ServerMessageItem {
    pub(crate) offset: Option<u64>,
    pub(crate) from: Option<String>,
    pub(crate) data: Option<Box<RawValue>>,
    pub(crate) text: Option<String>,
    pub(crate) binary: Option<String>,
}

/// A server's answer to an HTTP publish.
#[derive(Deserialize, Debug)]
pub(crate) struct PublishAnswer {
    pub(crate) channel: String,
    pub(crate) offset: Option<u64>,
    #[serde(default)]
    pub(crate) dup: bool,
}

/// A server's answer to an HTTP request that it refused.
#[derive(Deserialize, Debug)]
pub(crate) struct ProblemAnswer {
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// `acme/account.json`: the account at an authority, with its private key.
#[derive(Serialize, Deserialize)]
pub(crate) struct AcmeAccount {
    pub(crate) directory: String,
    pub(crate) contact: Option<String>,
    pub(crate) credentials: instant_acme::AccountCredentials,
}

/// `acme/certificate.json`: a certificate with its private key, and what it was ordered for.
#[derive(Serialize, Deserialize)]
pub(crate) struct AcmeCertificate {
    pub(crate) directory: String,
    pub(crate) domains: Vec<String>,
    /// PEM.
    pub(crate) chain: String,
    /// PEM.
    pub(crate) key: String,
}

/// `acme/tries.json`: how the last orders went.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct AcmeTries {
    pub(crate) directory: String,
    pub(crate) domains: Vec<String>,
    /// How many there were one after the other.
    pub(crate) count: u32,
    /// Seconds since 1970 at the last of them.
    pub(crate) at: u64,
    /// How many seconds nothing is to be asked from then on.
    pub(crate) rest: u64,
}

/// The body of an HTTP publish.
#[derive(Serialize, Debug)]
pub(crate) struct PublishBody<'a> {
    /// JSON as it was given, to the letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<&'a str>,
}
