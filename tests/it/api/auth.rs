//! Who may ask, and from where.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::{Answer, TestApp};

async fn send(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

/// The cookie of a session, as the browser sends it back.
async fn session(app: &TestApp) -> String {
    let answer = send(app.anonymous(Method::GET, &format!("/?token={}", app.token()))).await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), "/");
    let cookie = answer.header("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap().to_owned();
    assert!(!pair.contains(app.token()), "the cookie is of no use as a bearer token");
    pair
}

#[tokio::test]
async fn everything_but_health_needs_the_token() {
    let app = TestApp::start().await;
    send(app.anonymous(Method::GET, "/health")).await.json();
    for path in pymd::api::openapi().paths.paths.into_keys() {
        if ["/health", "/p/{token}", "/api/v1/auth/login", "/api/v1/auth/callback"].contains(&path.as_str()) {
            continue;
        }
        let path = path.replace("{name}", "style.css");
        let method = if path.starts_with("/api/") { Method::POST } else { Method::GET };
        let answer = send(app.anonymous(method.clone(), &path)).await;
        answer.problem(401, "unauthorized");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path}");
        for authorization in ["Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "bearer a-token-of-the-test"] {
            let request = app.anonymous(method.clone(), &path).header("authorization", authorization);
            send(request).await.problem(401, "unauthorized");
        }
    }
    let lower = app.anonymous(Method::GET, "/openapi.json").header("authorization", format!("bearer {}", app.token()));
    send(lower).await.json();
    app.stop().await;
}

#[tokio::test]
async fn a_page_makes_a_session_of_the_token_in_its_address() {
    let app = TestApp::start().await;
    let cookie = session(&app).await;
    let answer = send(app.anonymous(Method::GET, "/").header("cookie", format!("other=1; {cookie}"))).await;
    assert_eq!(answer.status, 200);

    let answer = send(app.anonymous(Method::GET, &format!("/docs?a=1&token={}&b=2", app.token()))).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/docs?a=1&b=2"));

    send(app.anonymous(Method::GET, "/?token=wrong")).await.problem(401, "unauthorized");
    // Only pages take it from there: addresses are logged and kept in many places.
    let path = format!("/openapi.json?token={}", app.token());
    send(app.anonymous(Method::GET, &path)).await.problem(401, "unauthorized");
    let forged = format!("{}x", cookie);
    send(app.anonymous(Method::GET, "/").header("cookie", forged)).await.problem(401, "unauthorized");
    app.stop().await;
}

#[tokio::test]
async fn a_session_works_only_for_the_servers_own_pages() {
    let app = TestApp::start().await;
    let cookie = session(&app).await;
    let own = format!("http://{}", app.host);
    let post = || {
        let request = app.anonymous(Method::POST, "/api/v1/execute").header("cookie", &cookie);
        request.json(&json!({"code": "print(1)"}))
    };
    for good in [
        post().header("origin", &own),
        post().header("sec-fetch-site", "same-origin"),
        post().header("origin", &own).header("sec-fetch-site", "same-origin"),
    ] {
        assert_eq!(send(good).await.json()["stdout"], "1\n");
    }
    for bad in [
        post(),
        post().header("origin", "http://evil.example"),
        post().header("origin", "null"),
        post().header("origin", "http://127.0.0.1:1"),
        post().header("sec-fetch-site", "cross-site"),
        post().header("sec-fetch-site", "same-site"),
        post().header("sec-fetch-site", "none"),
        post().header("origin", "http://evil.example").header("sec-fetch-site", "same-origin"),
        post().header("origin", &own).header("sec-fetch-site", "cross-site"),
    ] {
        send(bad).await.problem(403, "cross_origin");
    }
    // A bearer token is sent on purpose: no browser adds it by itself.
    let bearer = app.request(Method::POST, "/api/v1/execute").header("origin", "http://evil.example");
    assert_eq!(send(bearer.json(&json!({"code": "print(1)"}))).await.json()["stdout"], "1\n");
    app.stop().await;
}

/// A page of another site whose name its owner lets point to this machine.
#[tokio::test]
async fn other_names_are_not_answered_to() {
    let app = TestApp::start().await;
    let port = app.host.rsplit(':').next().unwrap();
    let with_host = |host: &str| app.request(Method::GET, "/health").header("host", host.to_owned());
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:80"] {
        send(with_host(host)).await.json();
    }
    send(with_host(&format!("localhost:{port}"))).await.json();
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "192.168.0.1",
        "0.0.0.0",
        "[::2]",
        "localhost:",
        "localhost:99999",
        "[::1",
        "127.0.0.1@evil.example",
    ] {
        send(with_host(host)).await.problem(421, "bad_host");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_request_has_one_host() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let app = TestApp::start().await;
    for (head, status) in [
        ("GET /health HTTP/1.1\r\n", 400),
        ("GET /health HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n", 400),
        ("GET http://evil.example/health HTTP/1.1\r\nhost: localhost\r\n", 421),
        ("GET /health HTTP/1.1\r\nhost: localhost\r\n", 200),
    ] {
        let mut connection = tokio::net::TcpStream::connect(&app.host).await.unwrap();
        connection.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
    app.stop().await;
}
