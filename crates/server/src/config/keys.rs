//! The one table of what can be configured. From it come the names of environment variables, the check for unknown keys,
//! `config show` and `config schema`, and the tables of the reference.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Its place, like `server.drain.within`. `*` stands for a name, `[]` for each table of a list.
    pub(crate) path: &'static str,
    /// What its value looks like.
    pub(crate) form: Form,
    /// What it is where nothing is said.
    pub(crate) default: Unsaid,
    /// What it may be.
    pub(crate) bounds: &'static str,
    /// The kinds of namespaces that have it; empty for all.
    pub(crate) kinds: &'static [&'static str],
    /// Whether a running server takes over a new value (SIGHUP).
    pub(crate) reloads: bool,
    /// What it does: one line of Markdown.
    pub(crate) doc: &'static str,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Any text.
    Text,
    /// A text that is never shown.
    Secret,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Number,
    /// `"16KiB"`
    Size,
    /// `"30s"`
    Duration,
    /// `"10/s"`
    Rate,
    /// A file or a directory. In a file it is looked for beside that file.
    Path,
    /// Texts.
    List,
    /// A text, or several.
    OneOrMore,
    /// Tables, whose keys stand behind `[]`.
    Tables,
}

/// What a setting is where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsaid {
    /// Nothing, or what the documentation says.
    Nothing,
    /// It has to be said.
    Required,
    /// This, as it would be written in a file.
    Is(&'static str),
    /// One in `dev`, another in `serve`.
    Modes { dev: Option<&'static str>, serve: Option<&'static str> },
}

impl Key {
    const fn of(path: &'static str, form: Form, doc: &'static str) -> Self {
        Self { path, form, default: Unsaid::Nothing, bounds: "", kinds: &[], reloads: true, doc }
    }

    const fn is(self, default: &'static str) -> Self {
        Self { default: Unsaid::Is(default), ..self }
    }

    const fn modes(self, dev: Option<&'static str>, serve: Option<&'static str>) -> Self {
        Self { default: Unsaid::Modes { dev, serve }, ..self }
    }

    const fn required(self) -> Self {
        Self { default: Unsaid::Required, ..self }
    }

    const fn bounds(self, bounds: &'static str) -> Self {
        Self { bounds, ..self }
    }

    /// Only namespaces of these kinds have it.
    const fn only(self, kinds: &'static [&'static str]) -> Self {
        Self { kinds, ..self }
    }

    /// It counts when the server is started.
    const fn at_start(self) -> Self {
        Self { reloads: false, ..self }
    }

    /// The parts of its path.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('.')
    }

    /// Whether its path begins with these parts, names of tables standing for `*`.
    pub(crate) fn begins_with(&self, path: &[String]) -> bool {
        let mut parts = self.parts();
        path.iter().all(|part| parts.next().is_some_and(|ours| ours == "*" || ours == part))
    }

    /// Whether this is its path.
    pub(crate) fn is_at(&self, path: &[String]) -> bool {
        self.parts().count() == path.len() && self.begins_with(path)
    }

    /// What it is where nothing is said, as it would be written in a file.
    pub(crate) fn default_in(&self, mode: super::Mode) -> Option<&'static str> {
        match (self.default, mode) {
            (Unsaid::Is(value), _) => Some(value),
            (Unsaid::Modes { dev, .. }, super::Mode::Dev) => dev,
            (Unsaid::Modes { serve, .. }, super::Mode::Serve) => serve,
            (Unsaid::Nothing | Unsaid::Required, _) => None,
        }
    }
}

/// The key at `path`.
pub(crate) fn find(path: &[String]) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.is_at(path))
}

/// The parts that may follow `path`.
pub(crate) fn known_below(path: &[String]) -> Vec<&'static str> {
    let mut known: Vec<_> = KEYS
        .iter()
        .filter(|key| key.begins_with(path))
        .filter_map(|key| key.parts().nth(path.len()))
        .collect();
    known.dedup();
    known
}

use Form::{Boolean, Duration, List, Number, OneOrMore, Path, Rate, Secret, Size, Tables, Text, Word};

/// The kinds of which something is stored.
const STORED: &[&str] = &["log", "value", "map"];

/// All of them, in the order of the reference.
pub(crate) const KEYS: &[Key] = &[
    Key::of(
        "server.listen",
        Text,
        "where to listen: an address and a port, 0 for a free one; or a file, as `unix:/run/trunkline.sock`, which is made with \
         mode 0660 and taken away at the end. Who comes by a file counts as a proxy. Also `--listen`, `TRUNKLINE_LISTEN`",
    )
    .is("\"127.0.0.1:8000\"")
    .bounds("in `dev` a loopback address, or a file")
        .at_start(),
    Key::of("server.data", Path, "the directory of the database; made if it is not there. Also `--data`, `TRUNKLINE_DATA`")
        .is("\"./trunkline-data\"")
        .at_start(),
    Key::of("server.workers", Number, "worker threads. Also `--workers`, `TRUNKLINE_WORKERS`")
        .bounds("1 to 256; one per core if not given")
        .at_start(),
    Key::of(
        "server.origins",
        List,
        "pages of these origins may connect and use the HTTP API (CORS), beside those of the server's own host and what is \
         no browser. Others are refused",
    )
    .is("[]")
    .bounds("`https://…` or `http://…`, without a path"),
    Key::of("server.echo", Boolean, "whether `/echo` is there").modes(Some("true"), Some("false")).at_start(),
    Key::of("server.pages", Boolean, "whether the pages are there: `/` and `/demo/`")
        .modes(Some("true"), Some("false"))
        .at_start(),
    Key::of(
        "server.proxies",
        List,
        "proxies whose word on where connections come from counts (`X-Forwarded-For`: the nearest address that is not a \
         proxy's). They themselves have as many connections as there is room for, and so have connections of which they do \
         not say it. Who connects by a file (`--listen unix:…`) is such a proxy",
    )
    .modes(Some("[]"), Some("[\"127.0.0.1\", \"::1\"]"))
    .bounds("addresses")
    .at_start(),
    Key::of(
        "server.proxy_protocol",
        Boolean,
        "every connection begins with a header of the PROXY protocol, version 1 or 2, in front of TLS if there is any. The \
         address that it says is the client's, for all limits by address. Only `server.proxies` may connect, others are closed; \
         who comes without a header too",
    )
    .is("false")
    .at_start(),
    Key::of(
        "server.tls.certificate",
        Path,
        "the server speaks TLS (1.2 and 1.3) and shows this certificate: its own first, then those that lead to its authority. \
         HTTP/2 is offered for the API and the pages; WebSockets are opened with HTTP/1.1. Both files are looked at every 2 s, \
         and read again when they have changed: new connections are shown the new certificate, the others stay as they are. \
         A pair that does not fit is warned of and changes nothing",
    )
    .bounds("PEM")
    .required()
    .at_start(),
    Key::of("server.tls.key", Path, "the key to it").bounds("PEM (PKCS #8, PKCS #1, SEC 1), without a passphrase").required().at_start(),
    Key::of(
        "server.acme.domains",
        List,
        "the server speaks TLS, and gets its certificate for these names from an authority by itself (ACME, RFC 8555), in place of \
         `server.tls`. Each of them leads to this server, whose port is reached from outside as 443: there the authority looks \
         whether it is so (TLS-ALPN-01, RFC 8737). Account, certificate and keys are kept in `acme/` of `server.data`. The \
         certificate is renewed when a third of its time is left, and new connections \
         are shown it. What fails is warned of and tried again, after a minute at first, then after up to 6 h",
    )
    .required()
    .bounds("1 to 100 DNS names, without `*`")
    .at_start(),
    Key::of("server.acme.terms_agreed", Boolean, "whether the terms of the authority are agreed to")
        .required()
        .bounds("`true`")
        .at_start(),
    Key::of("server.acme.contact", Text, "an address that the authority may write to").bounds("an address of mail").at_start(),
    Key::of("server.acme.directory", Text, "where the authority says what it can do")
        .is("\"https://acme-v02.api.letsencrypt.org/directory\"")
        .bounds("`https://`, or `http://` to this machine")
        .at_start(),
    Key::of(
        "server.acme.roots",
        Path,
        "of a private authority: the certificates that its own server is trusted by, instead of by what the system trusts",
    )
    .bounds("PEM")
    .at_start(),
    Key::of(
        "server.plaintext",
        Boolean,
        "whether `serve` may listen beyond this machine without TLS, though others can read what crosses the network",
    )
    .is("false")
    .at_start(),
    Key::of(
        "server.drain.delay",
        Duration,
        "after SIGTERM: how long `/health/ready` says 503 and all else goes on, until no balancer sends anyone any more",
    )
    .is("\"0s\"")
    .bounds("at most 1 h"),
    Key::of(
        "server.drain.within",
        Duration,
        "then: the listener is closed, and clients are asked to leave (`goaway`), each at a random moment within this time, \
         so that they do not all come to the next server at once. Publishes are taken meanwhile. Who has not left is closed \
         at the end",
    )
    .modes(Some("\"0s\""), Some("\"10s\""))
    .bounds("at most 1 h"),
    Key::of(
        "limits.connections",
        Number,
        "connections of the server, WebSocket and HTTP together. One more is refused with HTTP 503",
    )
    .is("15000")
    .bounds("1 to 1,000,000; no more than the process may open files")
    .at_start(),
    Key::of(
        "limits.connections_per_address",
        Number,
        "connections of one address (of IPv6: one /64 network). One more is refused with HTTP 503, or behind a proxy closed \
         with 4529",
    )
    .modes(None, Some("500"))
    .bounds("1 to 1,000,000; all if not given"),
    Key::of(
        "limits.connections_per_user",
        Number,
        "WebSockets of one user, or of one guest. One more is closed with 4529. While a lost line is not noticed it counts",
    )
    .modes(None, Some("100"))
    .bounds("1 to 1,000,000; all if not given"),
    Key::of(
        "limits.memory",
        Size,
        "memory of the process. Above it nobody else is let in (HTTP 503), and those who are there go on; below 95 % of it the \
         door is open again",
    )
    .bounds("at least 1 MiB; 85 % of what the machine, or the container, has if not given"),
    Key::of("limits.subscriptions", Number, "subscriptions of one session. One more is answered with `limit_exceeded`")
        .is("128")
        .bounds("1 to 10,000")
        .at_start(),
    Key::of(
        "limits.commands",
        Rate,
        "how fast one connection sends commands, `ping` included; twice as many as in a second at once, after a pause. More is \
         `rate_limited`",
    )
    .is("\"1000/s\"")
    .at_start(),
    Key::of(
        "limits.outbox",
        Size,
        "what may wait for one client that reads slowly. Above half of it the client is told nothing more until it has read; \
         one that reaches it with answers to its own commands is closed with 4508",
    )
    .is("\"4MiB\"")
    .bounds("4 MiB to 64 MiB")
    .at_start(),
    Key::of("limits.handshake", Duration, "how long a request head may take, and where nobody comes in without a token the first command, too")
        .is("\"10s\"")
        .bounds("`\"1s\"` to `\"60s\"`")
        .at_start(),
    Key::of("auth.anonymous", Boolean, "whether one comes in without a token, as a guest. Where it is `false` the HTTP API asks for a key or a token, too")
        .modes(Some("true"), Some("false"))
        .at_start(),
    Key::of("auth.issuer", OneOrMore, "a token's `iss` is one of these; any if not given"),
    Key::of(
        "auth.audience",
        OneOrMore,
        "a token's `aud` names one of these. If nothing is said, a token that names an audience is refused: it is for \
         somebody else",
    ),
    Key::of("auth.leeway", Duration, "how far the clock of who signs may be from this machine's")
        .is("\"30s\"")
        .bounds("`\"0s\"` to `\"300s\"`"),
    Key::of(
        "auth.cookie",
        Text,
        "the name of a cookie that may hold a token. It counts only for requests that say their `Origin`, which has to be \
         the server's own",
    )
    .at_start(),
    Key::of("auth.keys", Tables, "what tokens are verified with. Without one every token is refused").is("[]"),
    Key::of("auth.keys[].algorithm", Text, "the one algorithm that the key is for. The token has no say in it")
        .required()
        .bounds(
            "`HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`",
        ),
    Key::of("auth.keys[].kid", Text, "what tokens call the key. One without a name is tried for every token of its algorithm"),
    Key::of("auth.keys[].secret", Secret, "for `HS…`: whoever has it can sign").bounds("at least 32 bytes"),
    Key::of("auth.keys[].secret_file", Path, "the same, in a file"),
    Key::of("auth.keys[].public_key", Text, "for the others").bounds("PEM (`BEGIN PUBLIC KEY`)"),
    Key::of("auth.keys[].public_key_file", Path, "the same, in a file"),
    Key::of(
        "auth.jwks.url",
        Text,
        "a set of public keys (JWKS, RFC 7517) that an identity provider publishes. Fetched at the start, and when a token \
         names a key that is not known; what is not for signatures, and shared secrets, are passed over. While the provider \
         is down the keys that were fetched before stay; until there are some, clients hear `not_available` and come again",
    )
    .required()
        .bounds("`https://`, or `http://` to this machine")
    .at_start(),
    Key::of("auth.jwks.refresh", Duration, "how often it is fetched besides; not more often than every 10 s, or this, for unknown keys")
        .is("\"10m\"")
        .bounds("`\"1s\"` to `\"24h\"`")
        .at_start(),
    Key::of(
        "auth.api_keys",
        Tables,
        "keys of the HTTP API, sent as `Authorization: Bearer`. If there are some, nobody uses the API without one, or a \
         user's token",
    )
    .is("[]"),
    Key::of("auth.api_keys[].name", Text, "what the key is called, and the scope of its idempotency keys")
        .required()
        .bounds("1 to 64 characters without spaces"),
    Key::of("auth.api_keys[].key", Secret, "the key: `openssl rand -base64 32` makes one").bounds("at least 22 characters"),
    Key::of("auth.api_keys[].key_file", Path, "the same, in a file"),
    Key::of("auth.api_keys[].allow", Tables, "what it may do, as in a token: `{ channels = \"chat:*\", can = [\"publish\", \"history\"] }`")
        .required(),
    Key::of("auth.api_keys[].allow[].channels", Text, "a channel, or what channels begin with, and `*`").required(),
    Key::of("auth.api_keys[].allow[].can", List, "`subscribe`, `publish`, `presence`, `history`, `moderate`").required(),
    Key::of(
        "admin.token",
        Secret,
        "the token of administrators, who see `/metrics`: `Authorization: Bearer`. Without one, and without `admin.listen`, \
         nobody does; in `dev` everyone",
    )
    .bounds("at least 22 characters"),
    Key::of("admin.token_file", Path, "the same, in a file"),
    Key::of(
        "admin.listen",
        Text,
        "an address of its own for administrators, with `/metrics` and `/health/`, in HTTP. There a token is asked for only \
         if there is one: whoever reaches it is one otherwise",
    )
    .bounds("an address and a port")
    .at_start(),
    Key::of(
        "log.level",
        Text,
        "what is written to standard error: this and what is worse; or by module, like `warn,trunkline_node=debug`. Also \
         `TRUNKLINE_LOG`",
    )
    .is("\"info\"")
    .bounds("`error`, `warn`, `info`, `debug`, `trace`, or `off`"),
    Key::of("log.format", Word(&["text", "json"]), "for people, or a JSON object per line, for programs")
        .is("\"text\"")
        .at_start(),
    Key::of(
        "namespace.*.kind",
        Word(&["log", "value", "map", "signal"]),
        "a log stores every publication; a value keeps the newest; a map keeps the newest of each entry; a signal passes them \
         on and stores nothing",
    )
    .required()
    .at_start(),
    Key::of(
        "namespace.*.acknowledge",
        Word(&["disk", "memory"]),
        "when a publish is answered and delivered: `disk` after it is synced to disk; `memory` before, and it is synced \
         within a second, which is faster by the time of a sync. Then a power loss may take back the last second, never a \
         crash of the server; who was told of it hears `rewound`",
    )
    .is("\"disk\"")
    .only(STORED)
    .at_start(),
    Key::of("namespace.*.keep.entries", Number, "so many messages of each channel are kept; all if not given")
        .bounds("at least 1")
        .only(&["log"]),
    Key::of(
        "namespace.*.keep.size",
        Size,
        "so much of all channels of the namespace together; the oldest messages go first",
    )
    .is("\"all\"")
    .bounds("a size, or `\"all\"`")
    .only(&["log"]),
    Key::of("namespace.*.keep.age", Duration, "so long").is("\"forever\"").bounds("a duration, or `\"forever\"`").only(&["log"]),
    Key::of("namespace.*.keep.removals", Duration, "so long a client may be away and is told which entries were removed")
        .is("\"10m\"")
        .only(&["value", "map"]),
    Key::of("namespace.*.max_rate", Rate, "how often a subscriber is told at most; then it is given what is newest")
        .only(&["value", "map"]),
    Key::of(
        "namespace.*.subscribe",
        Word(&["anyone", "user", "owner", "token", "nobody"]),
        "who may follow its channels, read their past and see who is there: anyone; whoever has a token that names a user; \
         the user that the channel is named after: all behind the first `:` (`user:42` is user 42's); whose token allows it; \
         or nobody. A token's `allow` adds to all but the last",
    )
    .modes(Some("\"anyone\""), Some("\"token\"")),
    Key::of(
        "namespace.*.publish",
        Word(&["anyone", "user", "owner", "subscribers", "token", "server"]),
        "who may publish; `subscribers` are those who follow the channel, `server` is the HTTP API with a key that may, and \
         nobody else",
    )
    .modes(Some("\"anyone\""), Some("\"token\"")),
    Key::of(
        "namespace.*.edits",
        Word(&["author", "token", "nobody"]),
        "who may edit and delete a message: who wrote it and who may `moderate`; who may `moderate`; or the HTTP API alone",
    )
    .is("\"author\"")
    .only(&["log"]),
    Key::of(
        "namespace.*.slow",
        Word(&["catch_up", "disconnect"]),
        "what becomes of a subscriber that reads more slowly than is published: it is told nothing until it has read, and \
         then goes on from its place; or its connection is closed with 4508, and it has to come back before more lies in \
         between than is replayed",
    )
    .is("\"catch_up\"")
    .only(STORED),
    Key::of(
        "namespace.*.recover.entries",
        Number,
        "so many publications are replayed at most to a client that comes back; also what is kept hot in memory per channel",
    )
    .is("500")
    .bounds("1 to 10,000")
    .at_start(),
    Key::of(
        "namespace.*.recover.bytes",
        Size,
        "the same in bytes; a publication counts as payload, author and key, and 64",
    )
    .is("\"1MiB\"")
    .bounds("1 B to 2 MiB")
    .at_start(),
    Key::of("namespace.*.keys", Duration, "how long idempotency keys are remembered; keys that tell an older birth are refused")
        .bounds("`\"24h\"` if not given, with `acknowledge = \"memory\"` `\"10m\"`"),
    Key::of(
        "namespace.*.presence",
        Word(&["off", "count", "full"]),
        "what subscribers of a channel may know of each other: nothing, how many they are, or who they are. See \
         [presence](../../protocol/trunkline-v1.md#presence)",
    )
    .is("\"off\"")
    .at_start(),
    Key::of(
        "namespace.*.grace",
        Duration,
        "how long after its last connection a member of presence is gone, and an entry that is bound to a session; who is \
         back by then has never left",
    )
    .bounds("`\"3s\"` if not given; `\"0s\"` to `\"60s\"`, with presence, or for a value or a map")
    .at_start(),
    Key::of("namespace.*.limits.message", Size, "the largest payload of one publication; larger ones are `too_large`")
        .is("\"16KiB\"")
        .bounds("1 B to 1 MiB"),
    Key::of("namespace.*.limits.members", Number, "members of one channel; a subscribe of one more is `limit_exceeded`")
        .bounds("5,000 if not given; 1 to 100,000, with presence")
        .at_start(),
    Key::of("namespace.*.limits.rate", Rate, "how fast one connection publishes to the namespace, or one user over HTTP; more is `rate_limited`. Keys of the HTTP API have no rate"),
    Key::of("namespace.*.limits.burst", Number, "so many at once, after a pause; what comes in a second if not given")
        .bounds("1 to 100,000, with `limits.rate`"),
    Key::of("namespace.*.limits.channel_rate", Rate, "how fast all together publish to one channel"),
    Key::of("compression.enabled", Boolean, "whether what clients offer is agreed to").is("true").at_start(),
    Key::of(
        "compression.level",
        Number,
        "how hard the server tries. Level 6 makes messages about a quarter smaller than level 1 and takes about three times \
         as long",
    )
    .is("1")
    .bounds("1 to 6")
    .at_start(),
    Key::of("compression.size_min", Size, "smaller messages are sent as they are").is("\"256B\"").bounds("0 B to 1 MiB").at_start(),
    Key::of("rpc.url", Text, "where calls of clients (`rpc`) go: an HTTP endpoint of the application")
        .required()
        .bounds("`http://` or `https://`")
        .at_start(),
    Key::of("rpc.timeout", Duration, "how long a call may take; then `timeout`").is("\"10s\"").bounds("`\"1ms\"` to `\"60s\"`").at_start(),
];
