//! The OpenAPI document as a page: plain HTML, written once, without a script.

use std::fmt::Write as _;

use serde_json::Value;

/// Schemas inside schemas are followed so far; ours are flatter.
const MAX_DEPTH: usize = 6;

/// The page for an OpenAPI 3.1 document.
pub fn page(document: &Value) -> String {
    let info = &document["info"];
    let title = text(&info["title"]);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}: API</title>\
         <link rel=\"stylesheet\" href=\"/assets/style.css\"></head><body class=\"docs\"><header><h1>{title} \
         <small>{version}</small></h1><p>{description}</p><p><a href=\"/\">Start page</a> \u{b7} \
         <a href=\"/openapi.json\">OpenAPI {openapi}</a></p></header><main>",
        version = text(&info["version"]),
        description = text(&info["description"]),
        openapi = text(&document["openapi"]),
    );
    for tag in list(&document["tags"]) {
        let name = tag["name"].as_str().unwrap_or_default();
        put(&mut page, format_args!("<section><h2>{}</h2>", text(&tag["description"])));
        for (path, method, operation) in operations(document) {
            if list(&operation["tags"]).iter().any(|tag| tag == name) {
                describe_operation(&mut page, path, method, operation);
            }
        }
        page.push_str("</section>");
    }
    page.push_str("<section><h2>Schemas</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        let name = escape(name);
        put(&mut page, format_args!("<article id=\"schema-{name}\"><h3>{name}</h3>"));
        describe_schema(&mut page, schema, 0);
        page.push_str("</article>");
    }
    page.push_str("</section></main></body></html>\n");
    page
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    members(&document["paths"]).flat_map(|(path, item)| {
        members(item)
            .filter(|(_, operation)| operation["responses"].is_object())
            .map(move |(method, operation)| (path, method, operation))
    })
}

fn describe_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    put(
        page,
        format_args!(
            "<article><h3><span class=\"method\">{}</span> <code>{}</code></h3>",
            escape(&method.to_uppercase()),
            escape(path)
        ),
    );
    for key in ["summary", "description"] {
        if let Some(said) = operation[key].as_str() {
            paragraphs(page, said);
        }
    }
    // An empty requirement among them is a free choice; no list at all is the document's own.
    if list(&operation["security"]).iter().any(|needed| needed.as_object().is_some_and(serde_json::Map::is_empty)) {
        page.push_str("<p><em>Needs no token.</em></p>");
    }
    if !list(&operation["parameters"]).is_empty() {
        page.push_str("<h4>Parameters</h4><table>");
        for parameter in list(&operation["parameters"]) {
            put(
                page,
                format_args!(
                    "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                    text(&parameter["name"]),
                    text(&parameter["in"]),
                    text(&parameter["description"])
                ),
            );
        }
        page.push_str("</table>");
    }
    if operation["requestBody"].is_object() {
        page.push_str("<h4>Body</h4>");
        describe_content(page, &operation["requestBody"]["content"]);
    }
    page.push_str("<h4>Answers</h4><table>");
    for (status, answer) in members(&operation["responses"]) {
        put(
            page,
            format_args!("<tr><td><code>{}</code></td><td>{}</td><td>", escape(status), text(&answer["description"])),
        );
        describe_content(page, &answer["content"]);
        page.push_str("</td></tr>");
    }
    page.push_str("</table></article>");
}

fn describe_content(page: &mut String, content: &Value) {
    for (media_type, body) in members(content) {
        put(page, format_args!("<div><code>{}</code> ", escape(media_type)));
        name_type(page, &body["schema"], 0);
        page.push_str("</div>");
    }
}

/// A schema in full: its description, and its fields or variants.
fn describe_schema(page: &mut String, schema: &Value, depth: usize) {
    if let Some(said) = schema["description"].as_str() {
        paragraphs(page, said);
    }
    if depth >= MAX_DEPTH {
        return;
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        let parts = list(&schema[key]);
        if parts.is_empty() {
            continue;
        }
        put(page, format_args!("<p>{}</p><ul>", if key == "allOf" { "All of:" } else { "One of:" }));
        for part in parts {
            page.push_str("<li>");
            if part["properties"].is_object() || !list(&part["allOf"]).is_empty() {
                describe_schema(page, part, depth.saturating_add(1));
            } else {
                name_type(page, part, depth.saturating_add(1));
                put(page, format_args!(" {}", text(&part["description"])));
            }
            page.push_str("</li>");
        }
        page.push_str("</ul>");
    }
    if schema["properties"].is_object() {
        page.push_str("<table>");
        for (name, field) in members(&schema["properties"]) {
            let required = list(&schema["required"]).iter().any(|required| required == name);
            put(page, format_args!("<tr><td><code>{}</code>", escape(name)));
            page.push_str(if required { " <em>required</em></td><td>" } else { "</td><td>" });
            name_type(page, field, depth.saturating_add(1));
            put(page, format_args!("</td><td>{}</td></tr>", text(&field["description"])));
        }
        page.push_str("</table>");
    } else if !schema["type"].is_null() {
        page.push_str("<p>");
        name_type(page, schema, depth.saturating_add(1));
        page.push_str("</p>");
    }
}

/// A schema in a few words, with a link to where it is described.
fn name_type(page: &mut String, schema: &Value, depth: usize) {
    if depth >= MAX_DEPTH {
        page.push('\u{2026}');
        return;
    }
    let depth = depth.saturating_add(1);
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        put(page, format_args!("<a href=\"#schema-{name}\">{name}</a>"));
        return;
    }
    let variants = ["oneOf", "anyOf", "allOf"].iter().find_map(|key| schema[*key].as_array());
    if let Some(variants) = variants {
        for (number, variant) in variants.iter().enumerate() {
            page.push_str(if number == 0 { "" } else { " or " });
            name_type(page, variant, depth);
        }
        return;
    }
    if let Some(values) = schema["enum"].as_array() {
        for (number, value) in values.iter().enumerate() {
            put(
                page,
                format_args!("{}<code>{}</code>", if number == 0 { "" } else { " | " }, escape(&value.to_string())),
            );
        }
        return;
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect(),
    };
    page.push_str(&escape(&names.join(" or ")));
    if let Some(format) = schema["format"].as_str() {
        put(page, format_args!(" ({})", escape(format)));
    }
    if schema["items"].is_object() {
        page.push_str(" of ");
        name_type(page, &schema["items"], depth);
    }
}

fn paragraphs(page: &mut String, said: &str) {
    for paragraph in said.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        put(page, format_args!("<p>{}</p>", rich(paragraph.trim())));
    }
}

fn put(page: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = page.write_fmt(piece);
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, member)| (name.as_str(), member))
}

/// The text of a value as HTML, with what stands in backticks as code.
fn text(value: &Value) -> String {
    rich(value.as_str().unwrap_or_default())
}

fn rich(text: &str) -> String {
    let mut html = String::new();
    for (number, part) in text.split('`').enumerate() {
        let part = escape(part);
        if number % 2 == 1 {
            put(&mut html, format_args!("<code>{part}</code>"));
        } else {
            html.push_str(&part);
        }
    }
    html
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
