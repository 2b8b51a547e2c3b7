//! The description of the API is the API.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::support::{Answer, TestApp};

fn document() -> Value {
    serde_json::to_value(pymd::api::openapi()).unwrap()
}

#[test]
fn the_description_is_as_agreed() {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_json_snapshot!("openapi", document(), { ".info.version" => "[version]" });
    });
}

#[tokio::test]
async fn it_is_served_and_all_its_references_lead_somewhere() {
    let app = TestApp::start().await;
    let served = app.get("/openapi.json").await.json();
    assert_eq!(served, document());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));

    let mut references = BTreeSet::new();
    let mut values = vec![&served];
    while let Some(value) = values.pop() {
        match value {
            Value::Object(members) => {
                references.extend(members.get("$ref").and_then(Value::as_str));
                values.extend(members.values());
            }
            Value::Array(items) => values.extend(items),
            _ => {}
        }
    }
    assert!(references.contains("#/components/schemas/ProblemDetails"));
    for reference in references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(served.pointer(place).is_some(), "{reference}");
    }
    app.stop().await;
}

/// The other way round, no route is missing in it: it is made from the route table, and these are the routes.
#[tokio::test]
async fn every_route_is_described_and_every_description_is_a_route() {
    let app = TestApp::start().await;
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/",
        "/health",
        "/openapi.json",
        "/docs",
        "/metrics",
        "/api/v1/execute",
        "/api/v1/render",
        "/api/v1/render/preview",
        "/api/v1/render/validate",
        "/api/v1/environments",
        "/api/v1/environments/{id}/packages/import",
        "/api/v1/jobs/{id}/events",
        "/api/v1/ws",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    let mut names = std::collections::HashSet::new();
    for (path, item) in paths {
        let path = path.replace("{name}", "style.css");
        for method in ["get", "put", "post", "delete", "patch"] {
            let request = app.request(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), &path);
            let answer = Answer::of(request.send().await.unwrap()).await;
            // Of things that are not there, the route itself says so.
            assert!(!answer.text.contains("There is no route"), "{method} {path}");
            assert_eq!(item[method].is_null(), answer.status == 405, "{method} {path}: {}", answer.status);
            assert!(item[method].is_null() || item[method]["summary"].is_string(), "{method} {path} says what it does");
            let name = item[method]["operationId"].as_str();
            assert!(name.is_none_or(|name| names.insert(name)), "{name:?} is the name of two operations");
        }
    }
    app.stop().await;
}
