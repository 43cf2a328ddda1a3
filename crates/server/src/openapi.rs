//! OpenAPI 3.1: gathered from the routes, completed with what all of them share.

use utoipa::openapi::content::Content;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

const TOKEN: &str = "token";

/// What the routes are added to.
pub(crate) fn base() -> OpenApi {
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0").build();
    let info = InfoBuilder::new()
        .title("ARK-OS")
        .version("1")
        .description(Some(
            "Runs, governs and watches fleets of AI agents. A 202 means durable. Errors are \
             problem documents (RFC 9457) whose codes are listed in `docs/errors.md`.",
        ))
        .license(Some(license))
        .build();
    let problem = ark_os_api::Problem::schema();
    let mut place = Vec::new();
    ark_os_api::Problem::schemas(&mut place);
    let components = ComponentsBuilder::new()
        .schema("Problem", problem)
        .schemas_from_iter(place)
        .security_scheme(
            TOKEN,
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        )
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new(TOKEN, Vec::<String>::new())]))
        .build()
}

/// Adds to every operation the error that it can always answer with.
pub(crate) fn finished(mut openapi: OpenApi) -> OpenApi {
    for item in openapi.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            add_error(operation);
        }
    }
    openapi
}

fn add_error(operation: &mut Operation) {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let response = ResponseBuilder::new()
        .description("Any other error: 400, 401, 413, 421, 429, 500 or 503")
        .content(ark_os_api::PROBLEM_JSON, content)
        .build();
    operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
}

/// The description as text: the same for the same build.
pub fn openapi_json() -> String {
    let (_, openapi) = crate::routes::router();
    // Plain data always has a JSON form.
    let mut text = openapi.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_description_is_deterministic_and_whole() {
        let text = openapi_json();
        assert_eq!(text, openapi_json());
        let description: Value = serde_json::from_str(&text).unwrap();
        assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
        let paths = description["paths"].as_object().unwrap();
        assert!(paths.len() >= 26, "{}", paths.len());
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                assert!(operation["summary"].is_string(), "{method} {path}");
                assert!(operation["responses"]["default"].is_object(), "{method} {path}");
            }
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let text = openapi_json();
        let description: Value = serde_json::from_str(&text).unwrap();
        let schemas = description["components"]["schemas"].as_object().unwrap();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
    }
}
