//! Logging in and out with a browser: `/api/v1/auth/login`, `/callback`, `/logout`.

use axum::Json;
use axum::extract::State;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::Problems;
use super::extract::ApiQuery;
use super::guard::{Browser, SESSION_COOKIE};
use super::{ApiError, App};
use crate::service::{LoginAnswer, LoginError};

/// What a browser keeps during a login.
const LOGIN_COOKIE: &str = "pymd_login";
const CALLBACK: &str = "/api/v1/auth/callback";

/// Where to go after a login.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct LoginQuery {
    /// A path of this server. Default: `/`.
    return_to: Option<String>,
}

/// What there is to do after a logout.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoggedOut {
    /// Where the browser can log out of the identity provider, too, if it has such a place.
    logout_url: Option<String>,
}

/// Log in with the identity provider.
///
/// For browsers: leads to the provider, and from there back to `/api/v1/auth/callback`, where a session begins.
#[utoipa::path(get, path = "/api/v1/auth/login", tag = "accounts", params(LoginQuery), security(()), responses(
    (status = 303, description = "To the identity provider"), Problems))]
pub async fn login(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<LoginQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let browser = Browser::new(&app, &headers);
    let return_to = query.return_to.unwrap_or_else(|| "/".to_owned());
    let redirect_uri = format!("{}{CALLBACK}", browser.origin);
    let start = app.accounts().begin_login(&redirect_uri, &return_to).await.map_err(problem)?;
    let cookie = browser.cookie(LOGIN_COOKIE, &start.cookie, start.lasts_s);
    redirect(&start.location, [cookie])
}

/// The end of a login: the identity provider leads here.
#[utoipa::path(get, path = "/api/v1/auth/callback", tag = "accounts", params(LoginAnswer), security(()), responses(
    (status = 303, description = "A session was begun; to where the login was to lead"), Problems))]
pub async fn callback(
    State(app): State<App>,
    ApiQuery(answer): ApiQuery<LoginAnswer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let browser = Browser::new(&app, &headers);
    let kept = browser.find(LOGIN_COOKIE).unwrap_or_default();
    let redirect_uri = format!("{}{CALLBACK}", browser.origin);
    let end = app.accounts().finish_login(kept, &redirect_uri, &answer).await.map_err(problem)?;
    let session = browser.cookie(SESSION_COOKIE, &end.session, end.lasts_s.into());
    redirect(&end.return_to, [session, browser.cookie(LOGIN_COOKIE, "", 0)])
}

/// Log out.
///
/// Ends the browser's session, and says where it can log out of the identity provider, too.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "accounts", responses(
    (status = 200, description = "The session is over", body = LoggedOut), Problems))]
pub async fn logout(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    let browser = Browser::new(&app, &headers);
    let back = format!("{}/", browser.origin);
    let logout_url = app.accounts().log_out(browser.find(SESSION_COOKIE), &back).await?;
    let cookie = set_cookie(&browser.cookie(SESSION_COOKIE, "", 0))?;
    Ok(([(SET_COOKIE, cookie)], Json(LoggedOut { logout_url })).into_response())
}

fn redirect<const N: usize>(location: &str, cookies: [String; N]) -> Result<Response, ApiError> {
    let location = HeaderValue::from_str(location).map_err(|_| ApiError::internal(None))?;
    let cookies = cookies.iter().map(|cookie| Ok((SET_COOKIE, set_cookie(cookie)?)));
    let cookies = cookies.collect::<Result<Vec<_>, ApiError>>()?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location)], AppendHeaders(cookies)).into_response())
}

fn set_cookie(cookie: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(cookie).map_err(|_| ApiError::internal(None))
}

fn problem(error: LoginError) -> ApiError {
    match error {
        LoginError::None => ApiError::not_found("This server has no login; use an API key.".to_owned()),
        LoginError::ReturnTo => {
            let detail = "return_to: must be a path of this server, such as `/docs`.".to_owned();
            ApiError::invalid(Some("return_to".to_owned()), detail)
        }
        LoginError::Foreign => ApiError::login_failed(
            "This is not the end of a login that this browser has begun within the last ten minutes; log in again.",
        ),
        LoginError::Refused => ApiError::login_failed("The identity provider did not let you in; log in again."),
        LoginError::Provider => ApiError::no_provider(),
        LoginError::Suspended => ApiError::suspended(),
        LoginError::Service(error) => error.into(),
    }
}
