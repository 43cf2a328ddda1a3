//! Relative paths of a manifest, made absolute: then it means the same wherever it is read.

use serde_json::Value;

/// What a secret that lies in a file begins with.
const IN_FILE: &str = "file:";

/// The manifest with every relative path of its agents and groups behind `base`, a directory. What is
/// no manifest stays as it is, for whoever reads it to refuse.
pub fn rooted(mut manifest: Value, base: &str) -> Value {
    for section in ["agents", "groups"] {
        let members = manifest.get_mut(section).and_then(Value::as_array_mut);
        for member in members.into_iter().flatten() {
            let Some(behaviour) = member.get_mut("behaviour") else { continue };
            let mounts = behaviour.pointer_mut("/command/mounts").and_then(Value::as_array_mut);
            for source in mounts.into_iter().flatten().filter_map(|it| it.get_mut("source")) {
                put_below(base, "", source);
            }
            if let Some(file) = behaviour.pointer_mut("/http/ca_file") {
                put_below(base, "", file);
            }
            let secrets = behaviour.pointer_mut("/http/secret_headers");
            let secrets = secrets.and_then(Value::as_object_mut);
            for secret in secrets.into_iter().flat_map(|it| it.values_mut()) {
                put_below(base, IN_FILE, secret);
            }
        }
    }
    manifest
}

/// Puts a relative path that stands behind `prefix` below a directory.
fn put_below(base: &str, prefix: &str, value: &mut Value) {
    let path = value.as_str().and_then(|text| text.strip_prefix(prefix));
    let relative = path.filter(|path| !path.is_empty() && !path.starts_with('/'));
    if let Some(path) = relative {
        *value = Value::from(format!("{prefix}{}/{path}", base.trim_end_matches('/')));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn relative_paths_begin_at_the_directory_and_everything_else_stays() {
        let manifest = |mount: &str, file: &str, secret: &str| {
            json!({
                "agents": [{"name": "a", "behaviour": {"command": {
                    "argv": ["/bin/cat", "b.txt"], "workdir": "/w",
                    "mounts": [{"source": mount, "target": "/in"}, {"source": "/abs", "target": "/b"}],
                }}}, {"name": "n", "behaviour": "native"}, 7],
                "groups": [{"name": "b", "behaviour": {"http": {
                    "url": "https://x/y", "ca_file": file,
                    "secret_headers": {"A": secret, "B": "env:KEY"},
                }}}],
            })
        };
        let was = manifest("./in", "ca.pem", "file:key");
        let is = manifest("/base/./in", "/base/ca.pem", "file:/base/key");
        assert_eq!(rooted(was, "/base/"), is);
        assert_eq!(rooted(is.clone(), "/other"), is);
        for odd in [json!(null), json!([1]), json!({"agents": 1, "groups": [{"behaviour": 1}]})] {
            assert_eq!(rooted(odd.clone(), "/base"), odd);
        }
    }
}
