//! OpenAPI 3.1: gathered from the routes, completed with what all of them share.

use ark_os_core::limits::KEY_BYTES_MAX;
use utoipa::openapi::content::Content;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required,
    SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use crate::front::OPEN;
use crate::query::LIMIT_MAX;

const TOKEN: &str = "token";
/// What the description of a body says that need not be sent.
const MAY_BE_LEFT_OUT: &str = "may be left out";
/// Durations, `true`, `false`, or nothing for the longest.
const WAIT_PATTERN: &str =
    "^(true|false|([0-9]{1,4}d)?([0-9]{1,4}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?)$";
/// Printable characters of ASCII.
const KEY_PATTERN: &str = "^[!-~]([ -~]*[!-~])?$";

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

/// Adds to every operation what holds for all of them: the errors that each can always answer with, the
/// bounds of common parameters, and which bodies need not be sent.
pub(crate) fn finished(mut openapi: OpenApi) -> OpenApi {
    for (path, item) in &mut openapi.paths.paths {
        let verbs = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
        for operation in verbs.into_iter().flatten() {
            add_errors(path, operation);
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    bound(parameter);
                }
            }
            if let Some(RefOr::T(body)) = &mut operation.request_body
                && is_optional(body.description.as_deref())
            {
                body.required = Some(Required::False);
            }
        }
    }
    openapi
}

fn is_optional(description: Option<&str>) -> bool {
    description.is_some_and(|text| text.to_lowercase().contains(MAY_BE_LEFT_OUT))
}

/// Says what a common parameter accepts, in the one place where it is the same for every route.
fn bound(parameter: &mut Parameter) {
    let schema = match (&parameter.parameter_in, parameter.name.as_str()) {
        (ParameterIn::Query, "limit" | "max") => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(LIMIT_MAX)),
        (ParameterIn::Query, "wait" | "reply") => text(WAIT_PATTERN),
        (ParameterIn::Header, "Idempotency-Key") => {
            text(KEY_PATTERN).max_length(Some(KEY_BYTES_MAX))
        }
        _ => return,
    };
    parameter.schema = Some(RefOr::T(Schema::Object(schema.build())));
}

fn text(pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern))
}

fn add_errors(path: &str, operation: &mut Operation) {
    let is_given = |place: &ParameterIn| {
        let given = operation.parameters.iter().flatten();
        given.into_iter().any(|it| matches!(it, RefOr::T(it) if it.parameter_in == *place))
    };
    // A batch of lines is not read whole; each line has its own answer.
    let has_body = operation.request_body.as_ref().is_some_and(
        |body| matches!(body, RefOr::T(body) if body.content.contains_key("application/json")),
    );
    let errors = [
        ("400", "`json_invalid`, `request_invalid`, …", has_body),
        ("400", "`query_invalid`, …", is_given(&ParameterIn::Query)),
        ("413", "`body_too_large`", has_body),
        // What needs no token asks nobody who could be gone.
        ("503", "`draining`, `instance_stopped`, …", !OPEN.contains(&path)),
        ("default", "Any other error: 401, 421, 429 or 500", true),
    ];
    for (status, description, _) in errors.into_iter().filter(|(_, _, can_be)| *can_be) {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(description)
            .content(ark_os_api::PROBLEM_JSON, content)
            .build();
        // What a route says itself is nearer.
        let said = operation.responses.responses.entry(status.to_owned());
        said.or_insert(RefOr::T(response));
    }
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
    fn every_answer_that_a_route_may_give_is_described() {
        let description: Value = serde_json::from_str(&openapi_json()).unwrap();
        for (path, item) in description["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let answers = operation["responses"].as_object().unwrap();
                let place = format!("{method} {path}");
                assert_eq!(
                    answers.contains_key("503"),
                    !OPEN.contains(&&**path) || path.ends_with("ready"),
                    "{place}"
                );
                if operation["requestBody"]["content"]["application/json"].is_object() {
                    assert!(answers.contains_key("400") && answers.contains_key("413"), "{place}");
                }
            }
        }
        for (method, path, status, code) in [
            ("post", "/measures", "400", "measure_invalid"),
            ("post", "/measures", "429", "measures_exhausted"),
            ("post", "/agents/{id}/offline", "404", "agent_not_found"),
            ("post", "/agents/{id}/online", "409", "agent_quarantined"),
            ("post", "/escalations/{id}/answer", "400", "reason_invalid"),
            ("post", "/runs", "503", "intake_frozen"),
            ("post", "/runs/{id}/fork", "503", "intake_frozen"),
            ("post", "/tasks", "503", "intake_frozen"),
            ("post", "/runs/{id}/fork", "503", "draining"),
            ("post", "/workers/{id}/fail", "413", "body_too_large"),
        ] {
            let path = format!("/api/v1{path}");
            let answer = &description["paths"][&path][method]["responses"][status];
            let said = answer["description"].as_str().unwrap_or_default();
            assert!(said.contains(&format!("`{code}`")), "{method} {path} {status}: {said}");
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
