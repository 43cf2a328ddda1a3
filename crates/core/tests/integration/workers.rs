//! Remote workers beside what is deployed: whose a name and a skill are, and for whom tasks wait.

use ark_os_core::Command;
use ark_os_core::command::JoinAgent;
use ark_os_core::error::Rejected;
use ark_os_core::event::Standing;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::fleet::spec::{FleetSpec, GroupSpec};
use ark_os_core::layer::Layer;
use ark_os_core::limits::SKILLS_KEPT_MAX;
use ark_os_core::plan::EffectClass;

use super::world::{World, group, plan, skill, task};

fn join(world: &mut World, name: &str, skills: &[&str]) -> Result<(), Rejected> {
    let join = JoinAgent {
        name: name.into(),
        layer: Layer::Specialist,
        concurrency: 2,
        skills: skills.iter().map(|name| skill(name, EffectClass::Read, None)).collect(),
    };
    let joined = world.act(Command::JoinAgent(Box::new(join)));
    world.dispatch();
    joined.map(|_| ())
}

fn leave(world: &mut World, name: &str) {
    let reason = "it goes".into();
    world.act(Command::LeaveAgent { name: name.into(), reason }).unwrap();
}

fn fleet(groups: Vec<GroupSpec>) -> FleetSpec {
    let declared = |name: &str| skill(name, EffectClass::Idempotent, None);
    let of_instance = ["echo", "look", "put", "send", "narrow"];
    let mut skills: Vec<SkillInfo> = Vec::new();
    for name in groups.iter().flat_map(|group| &group.skills) {
        if !of_instance.contains(&&**name) && skills.iter().all(|it| it.name != *name) {
            skills.push(declared(name));
        }
    }
    FleetSpec { groups, skills }
}

fn deploy(world: &mut World, groups: Vec<GroupSpec>) -> Result<(), Rejected> {
    world.deploy(fleet(groups), Vec::new())?;
    world.all_well();
    Ok(())
}

fn crew(skills: &[&str]) -> GroupSpec {
    group("crew", Layer::Specialist, 3, skills)
}

fn needs(skill: &str) -> std::sync::Arc<ark_os_core::plan::Workflow> {
    let mut only = task("only", &[]);
    only.skill = skill.into();
    plan(vec![only])
}

fn class(world: &World, name: &str) -> Option<EffectClass> {
    world.state.fleet().skills().find(|it| &*it.name == name).map(|it| it.class)
}

#[test]
fn a_deployment_takes_nothing_that_a_worker_has() {
    let mut world = World::new(12);
    join(&mut world, "crew-00001", &["repo.scan"]).unwrap();
    join(&mut world, "lone", &["repo.read"]).unwrap();
    let mine = group("mine", Layer::Micro, 1, &["repo.scan"]);
    for (groups, what) in [
        (vec![mine], "offers the skill `repo.scan`"),
        (vec![crew(&[])], "is called `crew-00001`"),
        (vec![group("lone", Layer::Micro, 2, &[])], "is called `lone`"),
    ] {
        let refused = deploy(&mut world, groups).unwrap_err();
        assert_eq!(refused.code(), "fleet_invalid");
        assert!(refused.to_string().contains(what), "{refused}");
    }
    assert_eq!(class(&world, "repo.scan"), Some(EffectClass::Read));
    deploy(&mut world, vec![group("crew-00002", Layer::Specialist, 1, &[])]).unwrap();
    world.snapshot();
    world.replayed();
}

#[test]
fn a_worker_takes_nothing_that_is_deployed_or_about_to_be() {
    let mut world = World::new(12);
    let refused = |world: &mut World, name: &str, skills: &[&str]| {
        join(world, name, skills).unwrap_err().code().to_owned()
    };
    world.deploy(fleet(vec![crew(&["repo.scan"])]), Vec::new()).unwrap();
    for _ in 0..2 {
        assert_eq!(refused(&mut world, "far", &["repo.scan"]), "skill_taken");
        assert_eq!(refused(&mut world, "crew-00002", &["far.off"]), "agent_name_taken");
        assert_eq!(refused(&mut world, "crew", &["far.off"]), "agent_name_taken");
        world.all_well();
    }
    assert_eq!(refused(&mut world, "far", &["echo"]), "skill_taken");
    join(&mut world, "crew-00003", &["far.off"]).unwrap();
    // What is not declared any more is anybody's.
    deploy(&mut world, Vec::new()).unwrap();
    join(&mut world, "crew-00002", &["repo.scan"]).unwrap();
    assert_eq!(class(&world, "repo.scan"), Some(EffectClass::Read));
    world.replayed();
}

#[test]
fn a_worker_that_has_left_leaves_its_name_and_its_skills_to_others() {
    let mut world = World::new(12);
    join(&mut world, "lone", &["repo.scan"]).unwrap();
    let run = world.submit(needs("repo.scan"));
    leave(&mut world, "lone");
    let lone = || vec![group("lone", Layer::Specialist, 1, &["repo.scan"])];
    let early = deploy(&mut world, lone()).unwrap_err();
    assert!(early.to_string().contains("is called `lone`"), "its hands are full: {early}");
    world.finish(world.pt_at(run, 0), "1");
    deploy(&mut world, lone()).unwrap();
    assert_eq!(class(&world, "repo.scan"), Some(EffectClass::Idempotent));
    let back = join(&mut world, "lone", &["far.off"]).unwrap_err();
    assert_eq!(back.code(), "agent_name_taken");
    let agent = world.state.fleet().find("lone").unwrap();
    assert!(!world.state.fleet().is_joined(agent));
    assert_eq!(world.state.fleet().agent(agent).unwrap().standing, Standing::Ready);
    world.snapshot();
    world.replayed();
}

#[test]
fn what_runs_need_of_workers_that_are_not_back_yet_hinders_no_deployment() {
    let mut world = World::new(12);
    join(&mut world, "far", &["far.off"]).unwrap();
    let run = world.submit(needs("far.off"));
    world.restart();
    deploy(&mut world, vec![crew(&["repo.scan"])]).unwrap();
    assert_eq!(world.state.deployments().version(), 1);
    assert!(world.working(run).is_empty());
    join(&mut world, "far", &["far.off"]).unwrap();
    assert_eq!(world.working(run).len(), 1);
    world.snapshot();
    world.replayed();
}

#[test]
fn a_skill_whose_workers_do_not_come_back_is_off_after_several_starts() {
    let mut world = World::new(12);
    join(&mut world, "far", &["far.off"]).unwrap();
    join(&mut world, "gone", &["far.gone"]).unwrap();
    leave(&mut world, "gone");
    assert_eq!(class(&world, "far.gone"), Some(EffectClass::Read), "others may come meanwhile");
    for start in 0..3 {
        world.restart();
        world.snapshot();
        assert_eq!(class(&world, "far.off"), Some(EffectClass::Read), "{start}");
        assert_eq!(class(&world, "far.gone"), None, "it had left");
    }
    world.restart();
    assert_eq!(class(&world, "far.off"), None);
    join(&mut world, "far", &["far.off"]).unwrap();
    world.restart();
    assert_eq!(class(&world, "far.off"), Some(EffectClass::Read));
    world.replayed();
}

#[test]
fn after_a_restart_nobody_else_is_taken_for_the_worker_that_had_a_task() {
    let mut world = World::new(12);
    join(&mut world, "first", &["far.first"]).unwrap();
    join(&mut world, "second", &["far.second"]).unwrap();
    let run = world.submit(needs("far.first"));
    let last = |world: &World| world.node(run, 0).last_agent.map(|ix| world.state.fleet().name(ix));
    assert_eq!(last(&world).as_deref(), Some("first"));
    world.restart();
    // Whoever comes back first has the first of the places that are free again.
    join(&mut world, "second", &["far.second"]).unwrap();
    assert_eq!(last(&world), None);
    world.snapshot();
    world.replayed();
}

#[test]
fn a_deployment_brings_no_more_skills_than_are_kept() {
    let mut world = World::new(12);
    let fleet_of = |count: usize| FleetSpec {
        groups: Vec::new(),
        skills: (0..count).map(|it| skill(&format!("s.{it}"), EffectClass::Read, None)).collect(),
    };
    let had = 5;
    let refused = world.deploy(fleet_of(SKILLS_KEPT_MAX - had + 1), Vec::new()).unwrap_err();
    assert_eq!(refused.code(), "too_many_skills");
    world.deploy(fleet_of(SKILLS_KEPT_MAX - had), Vec::new()).unwrap();
    world.all_well();
    let late = join(&mut world, "far", &["far.off"]).unwrap_err();
    assert_eq!(late.code(), "too_many_skills");
}
