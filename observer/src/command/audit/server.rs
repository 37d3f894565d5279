//! A Prometheus-compatible server: reads queries, produces answers, or whether to ask for less, later, or not at all.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::{
    causes::chain,
    export::otlp::{asked_pause, install_cryptography},
};

/// Longest answer taken, bytes: pieces are planned to stay far below it.
const LONGEST: usize = 96 << 20;
/// Longest error looked at, bytes.
const LONGEST_ERROR: usize = 64 << 10;
/// Longest sentence of a server that is repeated, characters.
const LONGEST_SENTENCE: usize = 300;

/// Who asks, and how.
#[derive(clap::Args)]
pub(crate) struct Asker {
    /// Bearer token; better in the environment or in a file, since arguments can be read by others
    #[arg(
        long,
        value_name = "TOKEN",
        env = "OBSERVER_AUDIT_BEARER_TOKEN",
        hide_env_values = true,
        conflicts_with = "bearer_token_file"
    )]
    bearer_token: Option<String>,
    /// File that holds the bearer token
    #[arg(long, value_name = "FILE")]
    bearer_token_file: Option<PathBuf>,
    /// User of basic authentication
    #[arg(long, value_name = "NAME", env = "OBSERVER_AUDIT_USER")]
    user: Option<String>,
    /// File that holds the password; also OBSERVER_AUDIT_PASSWORD
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A header of each request, such as "X-Scope-OrgID: team-a"; may be repeated
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Certificates (PEM) of authorities to trust, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate (PEM) to present
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// Longest wait for one answer
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asker(..)")
    }
}

/// A server that can be asked.
pub(super) struct Server {
    client: reqwest::Client,
    base: reqwest::Url,
    basic: Option<(String, String)>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It was too much: a smaller piece may be answered.
    TooMuch(String),
    /// It may be answered later, no sooner than after this time where the server said so.
    Later(Option<Duration>, String),
    /// It will not be answered, and nothing else will.
    Refused(String),
}

impl Trouble {
    /// What happened, in one line.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::TooMuch(why) | Self::Later(_, why) | Self::Refused(why) => why,
        }
    }
}

impl Server {
    /// Reads files and checks everything that can be checked without asking.
    pub(super) fn new(url: &str, args: &Asker) -> anyhow::Result<Self> {
        install_cryptography();
        let mut base = address(url)?;
        let mut headers = HeaderMap::new();
        let mut basic = None;
        let user = args.user.clone().or_else(|| {
            let user = percent_encoding::percent_decode_str(base.username()).decode_utf8_lossy();
            (!user.is_empty()).then(|| user.into_owned())
        });
        let in_url = base.password().map(|password| {
            percent_encoding::percent_decode_str(password)
                .decode_utf8_lossy()
                .into_owned()
        });
        // Neither may fail for an address that has a host.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        if let Some(user) = user {
            let password = match &args.password_file {
                Some(file) => secret(file)?,
                None => std::env::var("OBSERVER_AUDIT_PASSWORD")
                    .ok()
                    .or(in_url)
                    .unwrap_or_default(),
            };
            basic = Some((user, password));
        }
        let token = match &args.bearer_token_file {
            Some(file) => Some(secret(file)?),
            None => args.bearer_token.clone(),
        };
        if let Some(token) = token {
            if basic.is_some() {
                bail!("a bearer token and a user cannot both be given");
            }
            headers.insert(
                header::AUTHORIZATION,
                sensitive(&format!("Bearer {token}")).context("the bearer token cannot be sent")?,
            );
        }
        for text in &args.header {
            let (name, value) = text
                .split_once(':')
                .or_else(|| text.split_once('='))
                .ok_or_else(|| anyhow!("--header needs a name and a value: \"X-Scope-OrgID: team-a\""))?;
            let name = HeaderName::try_from(name.trim()).context("--header: the name is none that HTTP allows")?;
            let value =
                sensitive(value.trim()).with_context(|| format!("--header {name}: the value cannot be sent"))?;
            headers.append(name, value);
        }
        let client = client(args, &base, headers)?;
        Ok(Self { client, base, basic })
    }

    /// The server's address, without anything secret.
    pub(super) fn name(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// Asks `/api/v1/PATH` once.
    pub(super) async fn ask(&self, path: &str, form: &[(&str, String)]) -> Result<Vec<u8>, Trouble> {
        let url = format!("{}/api/v1/{path}", self.name());
        let body: String = form
            .iter()
            .map(|(name, value)| {
                let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
                format!("{name}={value}")
            })
            .collect::<Vec<_>>()
            .join("&");
        // Label values are only ever read.
        if path.starts_with("label/") {
            return self.answer(self.client.get(format!("{url}?{body}"))).await;
        }
        let post = self
            .client
            .post(&url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        match self.answer(post.body(body.clone())).await {
            // A proxy that lets reading pass only.
            Err(Trouble::Refused(why)) if why.starts_with("HTTP 405") => {
                self.answer(self.client.get(format!("{url}?{body}"))).await
            }
            answer => answer,
        }
    }

    async fn answer(&self, mut request: reqwest::RequestBuilder) -> Result<Vec<u8>, Trouble> {
        if let Some((user, password)) = &self.basic {
            request = request.basic_auth(user, Some(password));
        }
        let mut response = request.send().await.map_err(|error| self.unanswered(error))?;
        let status = response.status();
        let after = asked_pause(response.headers());
        let longest = if status.is_success() { LONGEST } else { LONGEST_ERROR };
        let mut body = Vec::new();
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                // A refusal that is cut off is one.
                Err(error) if status.is_success() => return Err(self.unanswered(error)),
                Ok(None) | Err(_) => break,
            };
            if body.len() + chunk.len() > longest {
                if status.is_success() {
                    return Err(Trouble::TooMuch(format!(
                        "an answer of more than {} MiB",
                        longest >> 20
                    )));
                }
                break;
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body);
        }
        Err(judged(status, after, &body))
    }

    fn unanswered(&self, error: reqwest::Error) -> Trouble {
        let timeout = error.is_timeout();
        let host = self.base.host_str().unwrap_or_default().to_owned();
        let why = chain(&error.without_url());
        if timeout {
            return Trouble::TooMuch(format!("{host} did not answer in time"));
        }
        let lower = why.to_ascii_lowercase();
        if lower.contains("invalid peer certificate") || lower.contains("certificate") {
            let hint = if lower.contains("unknownissuer") {
                "; --ca FILE names the authority to trust"
            } else if lower.contains("required") {
                "; --client-certificate and --client-key present one"
            } else {
                ""
            };
            return Trouble::Refused(format!("TLS with {host} failed: {why}{hint}"));
        }
        if lower.contains("dns error") || lower.contains("lookup address") {
            return Trouble::Refused(format!("there is no host {host:?}"));
        }
        let port = self.base.port_or_known_default().unwrap_or_default();
        if lower.contains("invalidcontenttype") {
            return Trouble::Refused(format!(
                "{host}:{port} does not speak TLS: try http:// in place of https://"
            ));
        }
        if lower.contains("connection refused") {
            return Trouble::Later(
                None,
                format!(
                    "nothing listens at {host}:{port}; check the address, or that its port is forwarded (kubectl port-forward)"
                ),
            );
        }
        Trouble::Later(None, format!("no connection to {host}:{port}: {why}"))
    }
}

/// What an answer other than success means.
fn judged(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Trouble {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        #[serde(rename = "errorType")]
        kind: String,
        error: String,
    }
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let said = if problem.error.is_empty() {
        String::from_utf8_lossy(body).trim().to_owned()
    } else {
        problem.error
    };
    // A page of a proxy says nothing that its status does not.
    let said = if said.starts_with('<') { String::new() } else { said };
    let said: String = said
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(LONGEST_SENTENCE)
        .collect();
    let why = format!("HTTP {status}{}{said}", if said.is_empty() { "" } else { ": " });
    let said = if said.contains("HTTP request to an HTTPS server") {
        said + "; the address begins with https://"
    } else {
        said
    };
    let parse = said.contains("parse error") || said.contains("cannot parse");
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if parse || said.contains("HTTPS server") => {
            Trouble::Refused(why)
        }
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::URI_TOO_LONG
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::REQUEST_TIMEOUT => Trouble::TooMuch(why),
        // Prometheus answers so where a query took longer than it may.
        StatusCode::SERVICE_UNAVAILABLE if problem.kind == "timeout" => Trouble::TooMuch(why),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::INTERNAL_SERVER_ERROR => Trouble::Later(after, why),
        StatusCode::UNAUTHORIZED => Trouble::Refused(format!(
            "{why}; --bearer-token-file, --user with --password-file, or --header tell who asks"
        )),
        StatusCode::FORBIDDEN => Trouble::Refused(format!("{why}; who asks may not read metrics here")),
        StatusCode::NOT_FOUND => Trouble::Refused(format!(
            "{why}; there is no Prometheus API below this address (Mimir's ends in /prometheus)"
        )),
        status if status.is_redirection() => Trouble::Refused(format!(
            "{why}; it redirects, which is not followed: give the address it leads to"
        )),
        _ => Trouble::Refused(why),
    }
}

/// The address, with http:// where it has no scheme.
fn address(text: &str) -> anyhow::Result<reqwest::Url> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    // The text itself is not repeated: it may hold a password.
    let mut url = reqwest::Url::parse(&with_scheme).map_err(|error| anyhow!("the address cannot be used: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        bail!("the address must begin with http:// or https:// and name a host");
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').trim_end_matches("/api/v1").to_owned();
    url.set_path(&path);
    Ok(url)
}

fn client(args: &Asker, base: &reqwest::Url, headers: HeaderMap) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("observer/", env!("CARGO_PKG_VERSION")))
        .timeout(args.timeout)
        .connect_timeout(Duration::from_secs(10))
        .default_headers(headers)
        // Headers would travel on to another host.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(file) = &args.ca {
        let certificates = reqwest::Certificate::from_pem_bundle(&read(file)?)
            .map_err(|_| anyhow!("{} holds no certificate in PEM", file.display()))?;
        builder = builder.tls_certs_only(certificates);
    } else if base.scheme() != "https" {
        // Nobody's certificate is looked at, so that a host or an image without authorities is no obstacle.
        builder = builder.tls_certs_only([]);
    }
    if let (Some(certificate), Some(key)) = (&args.client_certificate, &args.client_key) {
        let both = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
        let identity = reqwest::Identity::from_pem(&both).map_err(|_| {
            anyhow!(
                "{} and {} are no certificate and key in PEM",
                certificate.display(),
                key.display()
            )
        })?;
        builder = builder.identity(identity);
    }
    builder
        .build()
        .map_err(|error| anyhow!("no HTTP client: {}", chain(&error)))
}

fn sensitive(text: &str) -> anyhow::Result<HeaderValue> {
    // The text is a secret: the error does not repeat it.
    let mut value = HeaderValue::try_from(text).map_err(|_| anyhow!("it has a character that HTTP does not allow"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn secret(file: &Path) -> anyhow::Result<String> {
    let text = String::from_utf8(read(file)?)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
        .with_context(|| format!("{} holds no text", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
