//! Who may ask: the owner of a token or an API key, by a bearer header; and, in a browser, who runs the server, by a
//! session cookie. Deny by default.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE, UPGRADE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::{self, Lack, Needs};
use super::{ApiError, App};
use crate::auth::Refused;
use crate::domain::Principal;
use crate::service::NobodyComes;

/// Routes that take the token from the URL, once, to make a session of it.
const PAGES: [&str; 2] = ["/", "/docs"];

/// What a browser keeps of its session.
pub const SESSION_COOKIE: &str = "pymd_user";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const NO_TOKEN: &str = "Send the header `Authorization: Bearer TOKEN`, or open the address that the server printed \
                        when it started.";
const NO_SESSION: &str = "The session is over; log in again.";
const WRONG_TOKEN: &str = "The token is neither this server's, which is printed when it starts, nor an API key that it accepts, nor a token of \
     its identity provider.";

/// Refuses a request that was sent to a name which is not this machine's own: a page of another site may have let its
/// own name point here.
pub fn check_host(request: &Request) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(ApiError::bad_request("The request needs exactly one Host header."));
    };
    let host = host.to_str().unwrap_or_default();
    let public = request.extensions().get::<Option<PublicUrl>>().and_then(Option::as_ref);
    let is_public = |host: &str| public.is_some_and(|public| public.is_of(host));
    let named = is_public(host) || split_host(host).is_some_and(|(name, _)| is_loopback(name));
    let target = request.uri().authority();
    let target = target.is_none_or(|target| is_public(target.as_str()) || is_loopback(target.host()));
    if named && target { Ok(()) } else { Err(ApiError::bad_host()) }
}

/// Scheme, host and port under which others reach this server.
#[derive(Clone)]
pub struct PublicUrl(pub String);

impl PublicUrl {
    /// Whether a Host header names it.
    fn is_of(&self, host: &str) -> bool {
        self.0.split_once("://").is_some_and(|(_, own)| own.eq_ignore_ascii_case(host))
    }
}

/// The browser that a request comes from: how it sees this server, and what it keeps for it.
pub struct Browser<'a> {
    /// Scheme, host and port of this server.
    pub origin: String,
    headers: &'a HeaderMap,
}

impl<'a> Browser<'a> {
    /// The sender of these headers.
    pub fn new(app: &App, headers: &'a HeaderMap) -> Self {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let public = app.accounts().policy().public_url.clone().map(PublicUrl);
        let public = public.filter(|public| public.is_of(host));
        Self { origin: public.map_or_else(|| format!("http://{host}"), |public| public.0), headers }
    }

    fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// Behind TLS no other host, and nobody who changes what is not encrypted, can set a cookie of this name. Else
    /// cookies are shared by all ports of a host, so the port is in the name.
    fn name_of(&self, cookie: &str) -> String {
        if self.is_secure() {
            return format!("__Host-{cookie}");
        }
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        let port = split_host(host).map_or(80, |(_, port)| port);
        format!("{cookie}_{port}")
    }

    /// The value of a cookie.
    pub fn find(&self, cookie: &str) -> Option<&'a str> {
        let name = self.name_of(cookie);
        cookies(self.headers).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// A cookie to be kept for so many seconds; 0 takes it away.
    pub fn cookie(&self, cookie: &str, value: &str, lasts_s: i64) -> String {
        let secure = if self.is_secure() { "; Secure" } else { "" };
        // Not `Strict`: it must be there when somebody comes back from the provider.
        let name = self.name_of(cookie);
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={lasts_s}{secure}")
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// Name and port of a Host header.
fn split_host(host: &str) -> Option<(&str, u16)> {
    let end_of_name =
        if host.starts_with('[') { host.find(']')?.checked_add(1)? } else { host.find(':').unwrap_or(host.len()) };
    let (name, port) = host.split_at_checked(end_of_name)?;
    match port.strip_prefix(':') {
        Some(port) => Some((name, port.parse().ok()?)),
        None if port.is_empty() => Some((name, 80)),
        None => None,
    }
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name == "[::1]"
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Lets a request through to its route if its sender may do what the route does.
pub async fn authenticate(State(app): State<App>, route: MatchedPath, mut request: Request, next: Next) -> Response {
    let needs = access::needs(request.method(), route.as_str());
    let is_public = |methods: &[(_, Needs)]| methods.iter().any(|(_, needs)| *needs == Needs::Public);
    if needs.map_or_else(is_public, |needs| needs == Needs::Public) {
        return match needs {
            Ok(_) => next.run(request).await,
            Err(methods) => no_such_method(request.method(), methods),
        };
    }
    let known = match decide(&app, route.as_str(), &request) {
        Ok(Decision::Ask(credential)) => ask(&app, credential).await,
        Ok(Decision::Enter { location, cookie }) => {
            return (StatusCode::SEE_OTHER, [(LOCATION, location), (SET_COOKIE, cookie)]).into_response();
        }
        Err(error) => Err(error),
    };
    let (principal, credential) = match known {
        Ok(known) => known,
        Err(error) => return error.into_response(),
    };
    match needs.map(|needs| needs.check(&principal)) {
        Ok(Ok(())) => {
            request.extensions_mut().insert(principal);
            request.extensions_mut().insert(credential);
            next.run(request).await
        }
        Ok(Err(Lack::Role)) => ApiError::admins_only().into_response(),
        Ok(Err(Lack::Scope(scope))) => ApiError::insufficient_scope(scope).into_response(),
        Err(methods) => no_such_method(request.method(), methods),
    }
}

/// Answers for a method that is not in the table: the router is not asked at all.
fn no_such_method(method: &Method, methods: &[(&str, Needs)]) -> Response {
    let mut names: Vec<_> = methods.iter().map(|(name, _)| *name).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    let mut response = ApiError::method_not_allowed(method).into_response();
    if let Ok(allow) = HeaderValue::from_str(&names.join(",")) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// What the sender came with: to ask again whether it is still accepted.
#[derive(Clone)]
pub enum Credential {
    /// A token or an API key.
    Token(Arc<str>),
    /// A browser's session.
    Session(Arc<str>),
}

impl Credential {
    async fn authenticate(&self, app: &App) -> Result<Principal, NobodyComes> {
        match self {
            Self::Token(text) => app.accounts().authenticate(text).await,
            Self::Session(text) => app.accounts().authenticate_session(text).await,
        }
    }

    /// Whether it is not accepted any more. A database that does not answer is no reason.
    pub async fn is_void(&self, app: &App) -> bool {
        match self.authenticate(app).await {
            Err(NobodyComes::Refused(refused)) => refused != Refused::Unavailable,
            Err(NobodyComes::Unknown | NobodyComes::Suspended) => true,
            Ok(_) | Err(NobodyComes::Service(_)) => false,
        }
    }
}

enum Decision {
    /// Whoever has this may ask.
    Ask(Credential),
    /// The URL has the token: make a session, and come back without it.
    Enter { location: String, cookie: String },
}

fn decide(app: &App, route: &str, request: &Request) -> Result<Decision, ApiError> {
    let headers = request.headers();
    if let Some(authorization) = headers.get(AUTHORIZATION) {
        let bearer = authorization.to_str().ok().and_then(|value| value.split_once(' '));
        return match bearer {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Ok(Decision::Ask(Credential::Token(token.trim().into())))
            }
            _ => Err(ApiError::invalid_token(WRONG_TOKEN)),
        };
    }
    if PAGES.contains(&route)
        && request.method() == Method::GET
        && let Some((token, rest)) = take_token(request.uri().query().unwrap_or_default())
    {
        if !app.token().matches(token) {
            return Err(ApiError::invalid_token(WRONG_TOKEN));
        }
        // `route` is one of ours, so the location stays on this server.
        let location = if rest.is_empty() { route.to_owned() } else { format!("{route}?{rest}") };
        let session = app.token().session();
        let cookie = format!("{}={session}; Path=/; HttpOnly; SameSite=Strict", cookie_name(headers));
        return Ok(Decision::Enter { location, cookie });
    }
    let browser = Browser::new(app, headers);
    let credential = if has_session(app, headers) {
        Credential::Token(app.token().expose().into())
    } else if let Some(session) = browser.find(SESSION_COOKIE) {
        Credential::Session(session.into())
    } else {
        return Err(ApiError::unauthorized(NO_TOKEN));
    };
    // A WebSocket begins as a GET that any page may send.
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD) && !headers.contains_key(UPGRADE);
    if !is_safe && !is_same_origin(headers, &browser.origin) {
        return Err(ApiError::cross_origin());
    }
    Ok(Decision::Ask(credential))
}

async fn ask(app: &App, credential: Credential) -> Result<(Principal, Credential), ApiError> {
    match credential.authenticate(app).await {
        Ok(principal) => Ok((principal, credential)),
        Err(NobodyComes::Unknown) if matches!(credential, Credential::Session(_)) => {
            Err(ApiError::unauthorized(NO_SESSION))
        }
        Err(NobodyComes::Unknown) => Err(ApiError::invalid_token(WRONG_TOKEN)),
        Err(NobodyComes::Refused(Refused::Unavailable)) => Err(ApiError::no_provider()),
        Err(NobodyComes::Refused(refused)) => {
            Err(ApiError::invalid_token(&format!("The token is not accepted: {refused}.")))
        }
        Err(NobodyComes::Suspended) => Err(ApiError::suspended()),
        Err(NobodyComes::Service(error)) => Err(error.into()),
    }
}

/// The value of `token` in a query, and the rest of it.
fn take_token(query: &str) -> Option<(&str, String)> {
    let token = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("token=")).collect();
    Some((token, rest.join("&")))
}

/// Cookies are shared by all ports of a host, so the port is in the name: two servers do not end each other's sessions.
fn cookie_name(headers: &HeaderMap) -> String {
    let port = headers.get(HOST).and_then(|host| split_host(host.to_str().ok()?)).map_or(80, |(_, port)| port);
    format!("pymd_session_{port}")
}

fn has_session(app: &App, headers: &HeaderMap) -> bool {
    let name = cookie_name(headers);
    cookies(headers).any(|(key, value)| key == name && app.token().matches_session(value))
}

/// Whether a page of this very server sent the request, as far as the browser says; silence is a no.
fn is_same_origin(headers: &HeaderMap, own_origin: &str) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let (site, origin) = (text(&SEC_FETCH_SITE), text(&ORIGIN));
    let fits = |said: Option<&str>, wanted: Option<&str>| said.is_none() || said == wanted;
    (site.is_some() || origin.is_some()) && fits(site, Some("same-origin")) && fits(origin, Some(own_origin))
}
