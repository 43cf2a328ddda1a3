//! What a request brings in its body, read whole within the limit and parsed.

use ark_os_api::Reason;
use ark_os_core::text::Text;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::json::{parse, parse_or_default, read_body};
use crate::problems::Refusal;
use crate::routes::reason;

/// A body in JSON.
pub(crate) struct Given<T>(pub(crate) T);

/// A body in JSON that may be left out.
pub(crate) struct GivenOrDefault<T>(pub(crate) T);

/// The reason in a body that has nothing else, and may be left out.
pub(crate) struct Why(pub(crate) Text);

impl<T: DeserializeOwned> FromRequest<Context> for Given<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, context: &Context) -> Result<Self, Refusal> {
        let body = read_body(request.into_body(), context.settings().max_body_bytes).await?;
        parse(&body).map(Given)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Context> for GivenOrDefault<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, context: &Context) -> Result<Self, Refusal> {
        let body = read_body(request.into_body(), context.settings().max_body_bytes).await?;
        parse_or_default(&body).map(GivenOrDefault)
    }
}

impl FromRequest<Context> for Why {
    type Rejection = Refusal;

    async fn from_request(request: Request, context: &Context) -> Result<Self, Refusal> {
        let GivenOrDefault(given) =
            GivenOrDefault::<Reason>::from_request(request, context).await?;
        reason(given.reason.as_deref()).map(Why)
    }
}
