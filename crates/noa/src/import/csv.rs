//! An agent directory in CSV: one row an agent, columns by their headers.

use std::collections::BTreeSet;

use ark_os_core::layer::Layer;
use ark_os_core::limits::{GROUP_AGENTS_MAX, GROUPS_MAX};
use ark_os_core::manifest::{CONCURRENCY_MAX, DESCRIPTION_BYTES_MAX};
use serde_json::{Map, Value, json};

use super::{Imported, Names, Remark, slug};

/// Columns of a directory; a person has to be able to read it.
const COLUMNS_MAX: usize = 200;

/// What a column is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Layer,
    Supervisor,
    Skills,
    Description,
    Count,
    Concurrency,
    Url,
    /// Kept under this annotation.
    Other(String),
}

/// Headers that people give to columns, without case and separators.
const HEADERS: [(&str, Column); 40] = [
    ("name", Column::Name),
    ("agent", Column::Name),
    ("agentname", Column::Name),
    ("agentid", Column::Name),
    ("id", Column::Name),
    ("layer", Column::Layer),
    ("role", Column::Layer),
    ("level", Column::Layer),
    ("tier", Column::Layer),
    ("rank", Column::Layer),
    ("supervisor", Column::Supervisor),
    ("manager", Column::Supervisor),
    ("reportsto", Column::Supervisor),
    ("reportingto", Column::Supervisor),
    ("supervisedby", Column::Supervisor),
    ("parent", Column::Supervisor),
    ("boss", Column::Supervisor),
    ("lead", Column::Supervisor),
    ("skills", Column::Skills),
    ("skill", Column::Skills),
    ("capabilities", Column::Skills),
    ("abilities", Column::Skills),
    ("competencies", Column::Skills),
    ("description", Column::Description),
    ("desc", Column::Description),
    ("summary", Column::Description),
    ("purpose", Column::Description),
    ("about", Column::Description),
    ("responsibilities", Column::Description),
    ("count", Column::Count),
    ("replicas", Column::Count),
    ("instances", Column::Count),
    ("number", Column::Count),
    ("concurrency", Column::Concurrency),
    ("maxconcurrency", Column::Concurrency),
    ("maxtasks", Column::Concurrency),
    ("url", Column::Url),
    ("endpoint", Column::Url),
    ("address", Column::Url),
    ("webhook", Column::Url),
];

/// One row, by its columns.
struct Row {
    line: usize,
    fields: Vec<(Column, String)>,
}

impl Row {
    fn text(&self, column: &Column) -> &str {
        let found = self.fields.iter().find(|(it, text)| it == column && !text.is_empty());
        found.map_or("", |(_, text)| text)
    }
}

/// Reads a directory: comma, semicolon or tab between columns, the first line with their names.
#[must_use]
pub fn directory(text: &str) -> Imported {
    let mut importing = Importing::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let delimiter = delimiter(text);
    let rows = importing.rows(text, delimiter);
    importing.name_all(&rows);
    let (mut agents, mut groups) = (Vec::new(), Vec::new());
    for (name, row) in std::mem::take(&mut importing.named).iter().zip(&rows) {
        let Some(name) = name else { continue };
        let Some((agent, is_group)) = importing.agent(name, row, delimiter) else { continue };
        if is_group { groups.push(agent) } else { agents.push(agent) }
    }
    let mut manifest = Map::new();
    manifest.insert("agents".into(), Value::Array(agents));
    if !groups.is_empty() {
        manifest.insert("groups".into(), Value::Array(groups));
    }
    let Importing { faults, notes, .. } = importing;
    Imported { manifest: Value::Object(manifest), faults, notes }
}

/// What stands between columns: whichever the first line has most of.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let count = |delimiter: u8| header.bytes().filter(|byte| *byte == delimiter).count();
    let rest = [b';', b'\t'].into_iter().filter(|it| count(*it) > count(b','));
    rest.max_by_key(|it| count(*it)).unwrap_or(b',')
}

#[derive(Default)]
struct Importing {
    names: Names,
    /// The name of each row, where it has one.
    named: Vec<Option<String>>,
    told: BTreeSet<String>,
    faults: Vec<Remark>,
    notes: Vec<Remark>,
}

impl Importing {
    fn fault(&mut self, line: usize, message: impl Into<String>) {
        self.faults.push(Remark { file: 0, line, message: message.into() });
    }

    fn note(&mut self, line: usize, message: impl Into<String>) {
        self.notes.push(Remark { file: 0, line, message: message.into() });
    }

    /// A note that is made once, at the first line that it is about.
    fn note_once(&mut self, key: &str, line: usize, message: impl Into<String>) {
        if self.told.insert(key.to_owned()) {
            self.note(line, message);
        }
    }

    fn rows(&mut self, text: &str, delimiter: u8) -> Vec<Row> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .has_headers(false)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut columns: Option<Vec<Column>> = None;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let line = error.position().map_or(1, csv::Position::line);
                    self.fault(line as usize, format!("the row cannot be read: {error}"));
                    continue;
                }
            };
            let line = record.position().map_or(1, csv::Position::line) as usize;
            let Some(columns) = &columns else {
                columns = Some(self.columns(&record, line));
                continue;
            };
            if record.iter().all(str::is_empty) {
                continue;
            }
            if record.len() > columns.len() {
                let (have, want) = (record.len(), columns.len());
                let message = format!("the row has {have} fields, but there are {want} columns");
                self.fault(line, message);
                continue;
            }
            if rows.len() == GROUPS_MAX {
                let rule =
                    format!("a manifest has at most {GROUPS_MAX} agents: the rest is left out");
                self.fault(line, rule);
                break;
            }
            let fields = columns.iter().cloned().zip(record.iter().map(str::to_owned));
            rows.push(Row { line, fields: fields.collect() });
        }
        rows
    }

    fn columns(&mut self, header: &csv::StringRecord, line: usize) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        for title in header.iter().take(COLUMNS_MAX) {
            let key: String = title.chars().filter(char::is_ascii_alphanumeric).collect();
            let key = key.to_lowercase();
            let known = HEADERS.iter().find(|(header, _)| *header == key).map(|(_, it)| it.clone());
            let column = match known.filter(|it| !columns.contains(it)) {
                Some(column) => column,
                None => {
                    let name = slug(title, false).to_lowercase();
                    let name = if name.is_empty() { "column".to_owned() } else { name };
                    let name = format!("x-{name}");
                    self.note(line, format!("the column `{title}` is kept as `{name}`"));
                    Column::Other(name)
                }
            };
            columns.push(column);
        }
        if !columns.contains(&Column::Name) {
            self.fault(line, "no column is called `name`: agents need one");
        }
        if header.len() > COLUMNS_MAX {
            self.fault(line, format!("a directory has at most {COLUMNS_MAX} columns"));
        }
        columns
    }

    /// Everybody has a name before anybody's supervisor is looked for.
    fn name_all(&mut self, rows: &[Row]) {
        for row in rows {
            let original = row.text(&Column::Name).to_owned();
            if original.is_empty() {
                self.fault(row.line, "the row has no name");
                self.named.push(None);
                continue;
            }
            let name = match self.names.take(&original) {
                Ok(name) => Some(name),
                Err(message) => {
                    self.fault(row.line, message);
                    None
                }
            };
            if let Some(name) = name.as_ref().filter(|name| **name != original) {
                self.note(row.line, format!("`{original}` is called `{name}`"));
            }
            self.named.push(name);
        }
    }

    /// An agent, and whether it is a group.
    fn agent(&mut self, name: &str, row: &Row, delimiter: u8) -> Option<(Value, bool)> {
        let line = row.line;
        let mut agent = Map::new();
        agent.insert("name".into(), name.into());
        let original = row.text(&Column::Name);
        if original != name {
            agent.insert("x-name".into(), original.into());
        }
        let description = row.text(&Column::Description);
        if description.len() > DESCRIPTION_BYTES_MAX {
            self.fault(
                line,
                format!("the description has more than {DESCRIPTION_BYTES_MAX} bytes"),
            );
            return None;
        }
        if !description.is_empty() {
            agent.insert("description".into(), description.into());
        }
        let layer = self.layer(row, &mut agent);
        let supervisor = row.text(&Column::Supervisor);
        if !supervisor.is_empty() {
            let Some(found) = self.names.find(supervisor) else {
                self.fault(line, format!("there is no agent `{supervisor}` to supervise it"));
                return None;
            };
            agent.insert("supervisor".into(), found.as_str().into());
        }
        let count = self.number(row, &Column::Count, "count", u64::from(GROUP_AGENTS_MAX))?;
        let concurrency = self.number(row, &Column::Concurrency, "concurrency", CONCURRENCY_MAX)?;
        agent.extend(concurrency.map(|it| ("concurrency".to_owned(), it.into())));
        let is_group = count.is_some_and(|it| it > 1);
        agent.extend(count.filter(|_| is_group).map(|it| ("count".to_owned(), it.into())));
        self.work(row, layer, delimiter, &mut agent);
        for (column, text) in &row.fields {
            if let (Column::Other(annotation), false) = (column, text.is_empty()) {
                agent.insert(annotation.clone(), text.as_str().into());
            }
        }
        Some((Value::Object(agent), is_group))
    }

    /// A number from 1; the outer none: it is none.
    fn number(&mut self, row: &Row, column: &Column, name: &str, most: u64) -> Option<Option<u64>> {
        let text = row.text(column);
        if text.is_empty() {
            return Some(None);
        }
        let number = text.parse::<u64>().ok().filter(|it| (1..=most).contains(it));
        if number.is_none() {
            let message = format!("`{name}` is a whole number from 1 to {most}, not `{text}`");
            self.fault(row.line, message);
        }
        number.map(Some)
    }

    /// A role that is none of the layers is kept as it is written.
    fn layer(&mut self, row: &Row, agent: &mut Map<String, Value>) -> Option<Layer> {
        let text = row.text(&Column::Layer);
        if text.is_empty() {
            return None;
        }
        let layer = layer_of(text);
        match layer {
            Some(layer) => {
                agent.insert("layer".into(), layer.as_str().into());
            }
            None => {
                agent.insert("x-role".into(), text.into());
                let message = format!(
                    "the role `{text}` is none of the layers and is kept as `x-role`: add a `layer`, \
                     else it is a specialist"
                );
                self.note_once(&format!("role {text}"), row.line, message);
            }
        }
        layer
    }

    fn work(
        &mut self,
        row: &Row,
        layer: Option<Layer>,
        delimiter: u8,
        agent: &mut Map<String, Value>,
    ) {
        let text = row.text(&Column::Skills);
        let is_break = |c: char| {
            matches!(c, ';' | '|' | '\n')
                || (c == ',' && delimiter != b',')
                || (c == ',' && !text.contains([';', '|']))
        };
        let mut skills: Vec<String> = Vec::new();
        for written in text.split(is_break).map(str::trim).filter(|it| !it.is_empty()) {
            let skill = slug(written, true);
            if skill != written {
                let message = format!("the skill `{written}` is called `{skill}`");
                self.note_once(&format!("skill {written}"), row.line, message);
            }
            if !skill.is_empty() && !skills.contains(&skill) {
                skills.push(skill);
            }
        }
        if layer.is_some_and(|layer| !layer.works()) {
            if !skills.is_empty() {
                agent.insert("x-skills".into(), json!(skills));
                let message =
                    "agents of its layer work on no tasks: its skills are kept as `x-skills`";
                self.note(row.line, message);
            }
            return;
        }
        if skills.is_empty() {
            self.note(row.line, "it has no skills: add those that it offers");
        }
        agent.insert("skills".into(), json!(skills));
        let url = row.text(&Column::Url);
        if url.is_empty() {
            agent.insert("behaviour".into(), "worker".into());
            let message = "how they work is not in the file: they are remote workers, which pull \
                           their tasks";
            self.note_once("worker", row.line, message);
        } else {
            agent.insert("behaviour".into(), json!({ "http": { "url": url } }));
        }
    }
}

/// A layer, however it is written: `Stack Chief`, `specialists`, `Board Member`.
fn layer_of(text: &str) -> Option<Layer> {
    let key: String = text.chars().filter(char::is_ascii_alphabetic).collect();
    let key = key.to_lowercase();
    let key = ["member", "agents", "agent", "s"]
        .iter()
        .fold(key.as_str(), |key, ending| key.strip_suffix(ending).unwrap_or(key));
    Some(match key {
        "cecca" => Layer::Cecca,
        "board" => Layer::Board,
        "executive" => Layer::Executive,
        "stackchief" | "chief" => Layer::StackChief,
        "specialist" => Layer::Specialist,
        "micro" => Layer::Micro,
        _ => return None,
    })
}
