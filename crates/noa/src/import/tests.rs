//! Directories and crews as they come, and what is told of them.

use ark_os_core::manifest::{Manifest, parse};
use ark_os_runtime::data::Catalogue;
use ark_os_runtime::skills::SkillSet;
use serde_json::{Value, json};

use super::*;
use crate::text::{Document, Format};

fn valid(manifest: &Value) -> Manifest {
    let catalogue = Catalogue::new(&SkillSet::builtin());
    parse(manifest, &catalogue).unwrap_or_else(|findings| panic!("{findings}\n{manifest}"))
}

fn told(remarks: &[Remark]) -> Vec<(usize, &str)> {
    remarks.iter().map(|it| (it.line, it.message.as_str())).collect()
}

#[test]
fn a_directory_becomes_a_valid_manifest() {
    let text = "\u{feff}Name,Role,Reports To,Skills,Description,Desk\n\
                Ana Müller,Stack Chief,,planning,Leads the writers,4\n\
                writer-1,Specialist,Ana Müller,text.write; text.edit,\"Writes, edits\",\n\
                writer-2,Micro Agent,ana mueller,Text Write,,7\n";
    let text = text.replace("ana mueller", "Ana-Mueller");
    let imported = directory(&text);
    assert_eq!(told(&imported.faults), []);
    assert_eq!(
        imported.manifest,
        json!({"agents": [
            {"name": "Ana-Mueller", "x-name": "Ana Müller", "description": "Leads the writers",
             "layer": "stack-chief", "x-skills": ["planning"], "x-desk": "4"},
            {"name": "writer-1", "description": "Writes, edits", "layer": "specialist",
             "supervisor": "Ana-Mueller", "skills": ["text.write", "text.edit"],
             "behaviour": "worker"},
            {"name": "writer-2", "layer": "micro", "supervisor": "Ana-Mueller",
             "skills": ["Text-Write"], "behaviour": "worker", "x-desk": "7"},
        ]})
    );
    let manifest = valid(&imported.manifest);
    assert_eq!(manifest.fleet_spec().groups.len(), 3);
    let notes = told(&imported.notes);
    assert!(notes.contains(&(1, "the column `Desk` is kept as `x-desk`")), "{notes:?}");
    assert!(notes.contains(&(4, "the skill `Text Write` is called `Text-Write`")), "{notes:?}");
    assert!(notes.iter().any(|(line, note)| *line == 3 && note.contains("remote workers")));
}

#[test]
fn every_faulty_row_is_told_with_its_line_and_the_others_are_kept() {
    let text = "name;layer;supervisor;skills;count;url\n\
                good;micro;;a.b, a.c;20;\n\
                ;micro;;a.b;;\n\
                good;micro;;a.b;;\n\
                lost;micro;nobody;a.b;;\n\
                many;micro;;a.b;1001;\n\
                wide;micro;;a.b;;;;\n\
                \"quoted\nname\";micro;;a.b;x;\n\
                caller;;;c.d;1;https://example.org/x\n";
    let imported = directory(text);
    let faults: Vec<usize> = imported.faults.iter().map(|it| it.line).collect();
    assert_eq!(faults, [7, 3, 4, 5, 6, 8], "{:?}", imported.faults);
    assert_eq!(
        imported.manifest,
        json!({
            "agents": [{"name": "caller", "skills": ["c.d"],
                        "behaviour": {"http": {"url": "https://example.org/x"}}}],
            "groups": [{"name": "good", "layer": "micro", "count": 20, "skills": ["a.b", "a.c"],
                        "behaviour": "worker"}],
        })
    );
    valid(&imported.manifest);
}

#[test]
fn a_directory_without_names_or_text_says_so() {
    assert_eq!(
        told(&directory("a,b\n1,2\n").faults)[0].1,
        "no column is called `name`: agents need one"
    );
    assert_eq!(directory("").manifest, json!({"agents": []}));
}

const AGENTS: &str = "
researcher:
  role: >
    {topic} Senior Researcher
  goal: Uncover news about {topic}
  backstory: You're seasoned.
  llm: some/model
  tools: [search]
reporting analyst:
  role: Analyst
  goal: Report
  allow_delegation: false
";
const TASKS: &str = "
research_task:
  description: Research {topic}. Cost ${5} {not a name}
  expected_output: A list
  agent: researcher
reporting_task:
  description: Report on {topic} in {year}
  expected_output: A report
  agent: reporting analyst
  output_file: report.md
check_task:
  description: Check
  expected_output: ok
  agent: researcher
  context: [research_task, reporting_task]
";

fn yaml(text: &str) -> Document {
    Document::read(Format::Yaml, text).unwrap()
}

#[test]
fn a_crew_becomes_remote_workers_and_a_workflow() {
    let imported = crew(&yaml(AGENTS), Some(&yaml(TASKS)));
    assert_eq!(told(&imported.faults), []);
    let manifest = valid(&imported.manifest);
    assert_eq!(&*manifest.agents[1].name, "reporting-analyst");
    assert_eq!(imported.manifest["agents"][0]["x-crewai"]["backstory"], "You're seasoned.");
    let tasks = &imported.manifest["workflows"][0]["tasks"];
    assert_eq!(
        tasks[0]["input"]["description"],
        "Research ${input.topic}. Cost $${5} {not a name}"
    );
    assert_eq!(
        tasks[1],
        json!({
            "name": "reporting_task", "skill": "crew.reporting-analyst",
            "input": {"description": "Report on ${input.topic} in ${input.year}",
                      "expected_output": "A report",
                      "context": {"research_task": "${tasks.research_task.output}"}},
            "x-crewai": {"output_file": "report.md"},
        })
    );
    let workflow = &manifest.workflows[0];
    assert_eq!(workflow.tasks[2].needs, [0, 1]);
    assert_eq!(imported.manifest["workflows"][0]["input"]["required"], json!(["topic", "year"]));
    let notes = told(&imported.notes);
    for part in [
        "no language models",
        "its language model",
        "its tools",
        "names no context",
        "`output_file`",
    ] {
        assert!(notes.iter().any(|(_, note)| note.contains(part)), "{part}: {notes:?}");
    }
}

#[test]
fn what_a_crew_lacks_is_told_with_its_line() {
    let tasks = "a:\n  description: x\nb:\n  agent: nobody\n  context: [c, b]\nd: 7\n";
    let imported = crew(&yaml(AGENTS), Some(&yaml(tasks)));
    let faults: Vec<_> = imported.faults.iter().map(|it| (it.file, it.line)).collect();
    assert_eq!(faults, [(1, 6), (1, 1), (1, 3), (1, 3), (1, 3)], "{:?}", imported.faults);
    let catalogue = Catalogue::new(&SkillSet::builtin());
    let findings = parse(&imported.manifest, &catalogue).unwrap_err();
    assert!(findings.as_slice().iter().all(|it| it.code == "missing_field"), "{findings}");
}

#[test]
fn a_text_of_braces_is_read_in_one_go() {
    let braces = "{a".repeat(1 << 20);
    let tasks = format!("a:\n  description: '{braces} {{topic}}'\n  agent: researcher\n");
    let imported = crew(&yaml(AGENTS), Some(&yaml(&tasks)));
    let description = &imported.manifest["workflows"][0]["tasks"][0]["input"]["description"];
    assert!(description.as_str().unwrap().ends_with("{a ${input.topic}"));
}
