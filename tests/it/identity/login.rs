//! Logging in with a browser, at a real provider; and those who would have others log in, or be led elsewhere.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use pymd::domain::AuthPolicy;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::json;
use url::Url;

use crate::support::oidc::Oidc;
use crate::support::{Answer, TestApp, client};

/// A browser: it keeps cookies, by host and port, and follows nothing by itself.
struct Browser {
    client: Client,
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

impl Browser {
    fn new() -> Self {
        Self { client: client(), cookies: Mutex::default() }
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
        let mut request = request.build().unwrap();
        let place = request.url()[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let cookies = self.cookies.lock().unwrap().clone();
        let mine: Vec<_> = cookies.iter().filter(|((at, _), _)| *at == place).collect();
        let pairs: Vec<_> = mine.iter().map(|((_, name), value)| format!("{name}={value}")).collect();
        if !pairs.is_empty() {
            request.headers_mut().insert("cookie", pairs.join("; ").parse().unwrap());
        }
        let answer = Answer::of(self.client.execute(request).await.unwrap()).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let (pair, rest) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let (key, rest) = ((place.clone(), name.to_owned()), rest.to_ascii_lowercase());
            if rest.contains("max-age=0") || rest.contains("expires=thu, 01 jan 1970") {
                self.cookies.lock().unwrap().remove(&key);
            } else {
                self.cookies.lock().unwrap().insert(key, value.to_owned());
            }
        }
        answer
    }

    async fn get(&self, url: &str) -> Answer {
        self.send(self.client.get(url)).await
    }

    fn names(&self, app: &TestApp) -> Vec<String> {
        let cookies = self.cookies.lock().unwrap();
        cookies.keys().filter(|(place, _)| *place == app.host).map(|(_, name)| name.clone()).collect()
    }

    /// Goes where it is led at the provider, says there that it is `who`, and stops before it comes back.
    async fn sign_in(&self, location: &str, who: &str) -> String {
        let mut at = location.to_owned();
        for _ in 0..12 {
            if at.contains("/api/v1/auth/callback") {
                return at;
            }
            let base = Url::parse(&at).unwrap();
            let answer = if base.path().starts_with("/interaction/") {
                let page = self.get(&at).await.text;
                let prompt = if page.contains("value=\"login\"") { "login" } else { "consent" };
                let form = format!("prompt={prompt}&login={who}&password=x");
                let request = self.client.post(&at).header("content-type", "application/x-www-form-urlencoded");
                self.send(request.body(form)).await
            } else {
                self.get(&at).await
            };
            assert_eq!(answer.status, 303, "{at}: {}", answer.text);
            at = base.join(answer.header("location")).unwrap().into();
        }
        panic!("the provider led nowhere: {at}");
    }

    /// Logs in from the beginning to the end, and answers where that leads.
    async fn log_in(&self, app: &TestApp, who: &str, return_to: &str) -> Answer {
        let begin = self.get(&format!("http://{}/api/v1/auth/login?return_to={return_to}", app.host)).await;
        assert_eq!(begin.status, 303, "{}", begin.text);
        let back = self.sign_in(begin.header("location"), who).await;
        self.get(&back).await
    }

    async fn me(&self, app: &TestApp) -> Answer {
        self.get(&format!("http://{}/api/v1/auth/me", app.host)).await
    }
}

async fn server(oidc: &Oidc) -> TestApp {
    TestApp::builder().preparing().auth(oidc.auth()).start().await
}

#[tokio::test]
async fn a_browser_logs_in_and_out() {
    let oidc = Oidc::start().await;
    oidc.door("people", json!({"ada": {"name": "Ada", "email": "ada@example.org"}})).await;
    let app = server(&oidc).await;
    let browser = Browser::new();
    browser.me(&app).await.problem(401, "unauthorized");
    let end = browser.log_in(&app, "ada", "/docs%3Fa=1%23b").await;
    assert_eq!((end.status.as_u16(), end.header("location")), (303, "/docs?a=1#b"), "{}", end.text);
    let cookies: Vec<_> = end.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let session = cookies.iter().find(|cookie| cookie.starts_with("pymd_user_")).unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(session.split("; ").any(|each| each == part), "{session}");
    }
    assert!(!session.contains("Secure"), "this server is not behind TLS");
    assert_eq!(browser.names(&app).len(), 1, "what was kept during the login is gone: {:?}", browser.names(&app));
    let me = browser.me(&app).await.json();
    assert_eq!(
        (&me["name"], &me["email"], &me["means"]),
        (&json!("Ada"), &json!("ada@example.org"), &json!("session"))
    );

    // It is the same user as the one of the API's tokens, and the session is of no use as a token.
    let token = oidc.token_of("ada").await;
    assert_eq!(super::me(&app, &token).await.json()["id"], me["id"]);
    let text = session.split(';').next().unwrap().split_once('=').unwrap().1;
    super::me(&app, text).await.problem(401, "unauthorized");

    // State is changed by this server's own pages alone.
    let url = format!("http://{}/api/v1/documents", app.host);
    let post = || browser.client.post(&url).json(&json!({"title": "x", "content": ""}));
    browser.send(post()).await.problem(403, "cross_origin");
    browser.send(post().header("origin", "https://evil.example")).await.problem(403, "cross_origin");
    let own = format!("http://{}", app.host);
    assert_eq!(browser.send(post().header("origin", &own)).await.status, 201);

    let logout = browser.client.post(format!("{own}/api/v1/auth/logout"));
    browser.send(logout.try_clone().unwrap()).await.problem(403, "cross_origin");
    let kept = browser.cookies.lock().unwrap().clone();
    let gone = browser.send(logout.header("origin", &own)).await.json();
    assert!(gone["logout_url"].as_str().unwrap().starts_with(&oidc.issuer), "{gone}");
    assert!(browser.names(&app).is_empty());
    // Who has kept the cookie has nothing of it.
    *browser.cookies.lock().unwrap() = kept;
    browser.me(&app).await.problem(401, "unauthorized");
    app.stop().await;
}

/// Somebody leads another's browser to the end of a login of their own, so that what it does is done as theirs.
#[tokio::test]
async fn a_login_ends_only_where_it_was_begun() {
    let oidc = Oidc::start().await;
    let app = server(&oidc).await;
    let (evil, victim) = (Browser::new(), Browser::new());
    let login = format!("http://{}/api/v1/auth/login", app.host);
    let begin = evil.get(&login).await;
    let back = evil.sign_in(begin.header("location"), "mallory").await;
    victim.get(&back).await.problem(403, "login_failed");
    assert!(victim.names(&app).is_empty());
    // Nor where the victim is in the middle of a login.
    victim.get(&login).await;
    victim.get(&back).await.problem(403, "login_failed");
    victim.me(&app).await.problem(401, "unauthorized");
    // A cookie that somebody made up.
    let name = format!("pymd_login_{}", app.host.rsplit(':').next().unwrap());
    for forged in ["", ".", "e30.", "e30.AAAA", "eyJyIjoieCIsImVuZCI6OTk5OTk5OTk5OSwidG8iOiIvIn0.AAAA", "x.y.z"] {
        let request = victim.client.get(&back).header("cookie", format!("{name}={forged}"));
        Answer::of(request.send().await.unwrap()).await.problem(403, "login_failed");
    }
    // Other answers than that of the provider.
    let url = Url::parse(&back).unwrap();
    let pairs: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let changed = |name: &str, value: Option<&str>| {
        let mut pairs = pairs.clone();
        match value {
            Some(value) => pairs.insert(name.to_owned(), value.to_owned()),
            None => pairs.remove(name),
        };
        let mut url = url.clone();
        url.query_pairs_mut().clear().extend_pairs(pairs);
        String::from(url)
    };
    for bad in [
        changed("state", None),
        changed("state", Some("")),
        changed("state", Some("x")),
        changed("iss", Some("https://other.example")),
        changed("code", None),
        changed("code", Some("")),
        changed("code", Some("x")),
        changed("error", Some("access_denied")),
        changed("code", Some(&"x".repeat(5000))),
    ] {
        evil.get(&bad).await.problem(403, "login_failed");
    }
    // The true one is still good in the browser that began it, and then no more: a code is used once.
    let kept = evil.cookies.lock().unwrap().clone();
    assert_eq!(evil.get(&back).await.status, 303);
    assert_eq!(evil.me(&app).await.json()["name"], "mallory");
    *evil.cookies.lock().unwrap() = kept;
    evil.get(&back).await.problem(403, "login_failed");
    app.stop().await;
}

#[tokio::test]
async fn a_login_leads_nowhere_else() {
    let oidc = Oidc::start().await;
    let app = server(&oidc).await;
    let long = format!("/{}", "x".repeat(3000));
    for bad in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%09/evil.example",
        "/%0d%0aset-cookie:x=1",
        "evil.example",
        "",
        "/..//evil.example",
        "/.//evil.example",
        "javascript:alert(1)",
        "/%0a/evil.example",
        "/a%20b",
        "/\u{fc}",
        &long,
    ] {
        // As it stands in the address.
        let request = app.anonymous(Method::GET, &format!("/api/v1/auth/login?return_to={bad}"));
        Answer::of(request.send().await.unwrap()).await.problem(422, "invalid_request");
    }
    for good in ["/", "/docs", "/a//b", "/?next=https://evil.example", "/%2F%2Fevil.example/"] {
        let good = good.replace('%', "%25");
        let answer = Browser::new().log_in(&app, "ada", &good).await;
        let location = answer.header("location");
        assert!(location.starts_with('/') && !location.starts_with("//"), "{location}");
    }
    app.stop().await;
}

#[tokio::test]
async fn sessions_end_with_their_users_and_in_time() {
    let oidc = Oidc::start().await;
    let app = server(&oidc).await;
    let browser = Browser::new();
    browser.log_in(&app, "ada", "/").await;
    let me = browser.me(&app).await.json();
    let id = me["id"].as_str().unwrap().parse().unwrap();
    app.workspace.database().set_suspended(id, Some(Timestamp::now())).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    browser.me(&app).await.problem(403, "suspended");
    // Nor does a new login help.
    let end = Browser::new().log_in(&app, "ada", "/").await;
    end.problem(403, "suspended");
    app.stop().await;
}

#[tokio::test]
async fn without_a_provider_there_is_no_login() {
    let app = TestApp::builder().preparing().start().await;
    for path in ["/api/v1/auth/login", "/api/v1/auth/callback?code=x&state=y"] {
        Answer::of(app.anonymous(Method::GET, path).send().await.unwrap()).await.problem(404, "not_found");
    }
    app.stop().await;
    let oidc = Oidc::start().await;
    let app = server(&oidc).await;
    oidc.door("away", json!({"away": true})).await;
    let request = app.anonymous(Method::GET, "/api/v1/auth/login");
    Answer::of(request.send().await.unwrap()).await.problem(503, "identity_unavailable");
    app.stop().await;
}

/// Behind a proxy that encrypts.
#[tokio::test]
async fn behind_tls_cookies_are_for_this_host_alone() {
    let oidc = Oidc::start().await;
    let auth = AuthPolicy { public_url: Some("https://pymd.example".to_owned()), ..oidc.auth() };
    let app = TestApp::builder().preparing().auth(auth).start().await;
    let to = |method: Method, path: &str, host: &str| app.anonymous(method, path).header("host", host.to_owned());
    let send = async |request: RequestBuilder| Answer::of(request.send().await.unwrap()).await;
    assert_eq!(send(to(Method::GET, "/health", "pymd.example")).await.status, 200);
    assert_eq!(send(to(Method::GET, "/health", "PyMD.example")).await.status, 200);
    for host in ["evil.example", "pymd.example.evil.example", "pymd.example:8443", "x.pymd.example", "pymd.example@x"] {
        send(to(Method::GET, "/health", host)).await.problem(421, "bad_host");
    }
    let begin = send(to(Method::GET, "/api/v1/auth/login", "pymd.example")).await;
    let url = Url::parse(begin.header("location")).unwrap();
    let pairs: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(pairs["redirect_uri"], "https://pymd.example/api/v1/auth/callback");
    assert_eq!((pairs["code_challenge_method"].as_str(), pairs["response_type"].as_str()), ("S256", "code"));
    let cookie = begin.header("set-cookie");
    assert!(cookie.starts_with("__Host-pymd_login=") && cookie.ends_with("; Secure"), "{cookie}");
    assert!(!begin.header("location").contains(cookie.split(['=', '.']).nth(1).unwrap()));
    // A session of there, from pages of there.
    let user = app.workspace.database().first_admin().await.unwrap().unwrap();
    let lasts = jiff::SignedDuration::from_hours(1);
    let session = app.workspace.database().begin_session(user.id, lasts).await.unwrap();
    let post = |host: &str, name: &str, origin: &str| {
        let request = to(Method::POST, "/api/v1/documents", host).json(&json!({"title": "x", "content": ""}));
        request.header("cookie", format!("{name}={session}")).header("origin", origin.to_owned())
    };
    let good = send(post("pymd.example", "__Host-pymd_user", "https://pymd.example")).await;
    assert_eq!(good.status, 201, "{}", good.text);
    let cross = send(post("pymd.example", "__Host-pymd_user", "http://pymd.example")).await;
    cross.problem(403, "cross_origin");
    // A cookie that anybody on the way could have set.
    send(post("pymd.example", "pymd_user_80", "https://pymd.example")).await.problem(401, "unauthorized");
    app.stop().await;
}
