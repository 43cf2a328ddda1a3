//! `ChangeSettings`: limits of the running instance.

use crate::error::{Kind, Rejected};
use crate::event::Event;
use crate::limits::{SETTING_BYTES_MAX, SETTINGS_CHANGED_MAX};
use crate::settings_change::SettingsChanged;

pub(super) fn decide(changed: SettingsChanged) -> Result<Vec<Event>, Rejected> {
    let limits = &changed.limits;
    let invalid = |message: String| Rejected::new(Kind::Invalid, "settings_invalid", message);
    let counts = [limits.agents_max, limits.concurrent_tasks_max, limits.runs_resident_max];
    if counts.contains(&Some(0)) || limits.task_timeout_ms == Some(0) {
        return Err(invalid("a limit of 0 lets nothing happen at all".to_owned()));
    }
    let is_long = |text: &str| text.len() > SETTING_BYTES_MAX;
    let long = changed.changes.iter().find(|it| is_long(&it.from) || is_long(&it.to));
    if let Some(long) = long {
        let message = format!("`{}` has more than {SETTING_BYTES_MAX} bytes", long.key);
        return Err(invalid(message));
    }
    if changed.changes.len() > SETTINGS_CHANGED_MAX {
        return Err(invalid(format!("more than {SETTINGS_CHANGED_MAX} settings change at once")));
    }
    if changed.changes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::SettingsChanged(Box::new(changed))])
}
