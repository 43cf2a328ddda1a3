//! What a deployment brings besides agents and workflows: the size of the profile, schedules, limits, and
//! seats that wait for remote workers.

use std::sync::Arc;

use ark_os_core::command::{Deploy, JoinAgent, PutSchedule, ScheduleName};
use ark_os_core::deployment::DeployedSchedule;
use ark_os_core::event::Standing;
use ark_os_core::fleet::spec::{FleetSpec, GroupSpec};
use ark_os_core::layer::Layer;
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_core::run::RunState;
use ark_os_core::schedule::{Overlap, Planned, Schedule, ScheduleSpec};
use ark_os_core::time::Time;
use ark_os_core::{Change, Command, Rejected};

use super::schedules;
use super::world::{World, group, plan, skill, task};

fn needs(skill: &str) -> Arc<Workflow> {
    let mut only = task("only", &[]);
    only.skill = skill.into();
    plan(vec![only])
}

fn spec(name: &str, cron: &str) -> ScheduleSpec {
    let workflow = Planned::Named("plan".into());
    let base = schedules::spec(Overlap::Allow);
    ScheduleSpec { name: name.into(), cron: cron.into(), workflow, ..base }
}

fn command(world: &World, change: impl FnOnce(&mut Deploy)) -> Command {
    let Command::Deploy(mut deploy) = world.deployment(FleetSpec::default(), vec![needs("echo")])
    else {
        panic!()
    };
    change(&mut deploy);
    Command::Deploy(deploy)
}

fn begin(world: &mut World, change: impl FnOnce(&mut Deploy)) -> Result<Change, Rejected> {
    let command = command(world, change);
    world.act(command)
}

fn with(specs: &[ScheduleSpec]) -> impl FnOnce(&mut Deploy) {
    let list = specs.iter().cloned();
    let list: Vec<_> =
        list.map(|spec| DeployedSchedule { spec: Arc::new(spec), seed: 7 }).collect();
    move |deploy| deploy.schedules = list
}

/// The checks are over; the schedules of the deployment are due then.
fn finish(world: &mut World, due: &[u64]) -> Change {
    let (version, layer) = world.checks.pop().unwrap();
    let due = due.iter().map(|ms| Some(Time(*ms))).collect();
    world.act(Command::ReportHealth { version, layer, result: Ok(due) }).unwrap()
}

fn schedule<'a>(world: &'a World, name: &str) -> Option<&'a Schedule> {
    world.state.schedules().named(&"default".into(), &name.into())
}

fn by_hand(world: &mut World, name: &str) {
    let next = Some(world.now.plus(60_000));
    let spec = ScheduleSpec { name: name.into(), ..schedules::spec(Overlap::Allow) };
    let (grant, spec) = (world.grant.clone(), Arc::new(spec));
    let put = PutSchedule { namespace: "default".into(), spec, grant, seed: 7, next };
    world.act(Command::PutSchedule(Box::new(put))).unwrap();
}

#[test]
fn schedules_come_and_go_with_the_deployment_and_those_made_by_hand_stay() {
    let mut world = World::new(12);
    by_hand(&mut world, "mine");
    begin(&mut world, with(&[spec("one", "0 * * * *"), spec("two", "1 * * * *")])).unwrap();
    assert!(schedule(&world, "one").is_none(), "not before it is finished");
    let later = world.now.0 + 90_000;
    let change = finish(&mut world, &[later, later + 1]);
    assert_eq!(change.events.len(), 3, "all in one record");
    assert_eq!(schedule(&world, "two").unwrap().next, Some(Time(later + 1)));
    world.snapshot();
    let number = schedule(&world, "one").unwrap().number;
    // The same again is nothing; what somebody paused by hand is resumed by it.
    let same = [spec("one", "0 * * * *"), spec("two", "1 * * * *")];
    assert!(begin(&mut world, with(&same)).unwrap().events.is_empty());
    let name = ScheduleName { namespace: "default".into(), name: "one".into() };
    let pause = Command::SetSchedule {
        schedule: name,
        is_paused: true,
        next: None,
        reason: "holiday".into(),
    };
    world.act(pause).unwrap();
    begin(&mut world, with(&[spec("one", "0 * * * *")])).unwrap();
    finish(&mut world, &[later]);
    let one = schedule(&world, "one").unwrap();
    assert_eq!((one.number, one.spec.is_paused, one.deployed), (number, false, true));
    assert!(schedule(&world, "two").is_none(), "it is gone with the deployment that had it");
    assert!(schedule(&world, "mine").is_some());
    begin(&mut world, |_| {}).unwrap();
    finish(&mut world, &[]);
    assert_eq!(world.state.schedules().len(), 1);
    world.replayed();
}

#[test]
fn a_schedule_of_a_deployment_runs_the_workflow_that_is_deployed_when_it_is_due() {
    let mut world = World::new(12);
    begin(&mut world, with(&[spec("one", "0 * * * *")])).unwrap();
    let due = world.now.0 + 1_000;
    finish(&mut world, &[due]);
    let run = schedules::fire(&mut world).unwrap().run.unwrap();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_schedule_made_by_hand_is_never_taken_by_a_deployment() {
    let mut world = World::new(12);
    by_hand(&mut world, "one");
    let taken = begin(&mut world, with(&[spec("one", "0 * * * *")])).unwrap_err();
    assert_eq!(taken.code(), "schedule_taken");
    // One that is made while agents are checked has the deployment taken back.
    begin(&mut world, with(&[spec("two", "0 * * * *")])).unwrap();
    by_hand(&mut world, "two");
    let due = world.now.0 + 1;
    finish(&mut world, &[due]);
    let over = world.state.deployments().past().next_back().unwrap();
    assert!(over.rolled_back.as_ref().unwrap().contains("`two` was made by hand"), "{over:?}");
    world.replayed();
}

#[test]
fn the_profile_has_the_size_that_is_deployed_also_after_a_restart() {
    let mut world = World::new(12);
    begin(&mut world, |it| it.profile = Some(20)).unwrap();
    assert_eq!(world.state.fleet().profile(), 12);
    finish(&mut world, &[]);
    assert_eq!(world.state.fleet().profile(), 20);
    assert!(begin(&mut world, |it| it.profile = Some(20)).unwrap().events.is_empty());
    world.act(Command::ScaleFleet { agents: 15, reason: "by hand".into() }).unwrap();
    world.restart();
    assert_eq!(world.state.fleet().profile(), 20);
    world.instance.agents_max = Some(14);
    world.restart();
    assert_eq!(world.state.fleet().profile(), 14, "as many as there may be");
    let many = begin(&mut world, |it| it.profile = Some(15)).unwrap_err();
    assert_eq!(many.code(), "agents_out_of_range");
    let crew = group("crew", Layer::Micro, 3, &["echo"]);
    let beside = begin(&mut world, |it| it.fleet.groups = vec![crew]).unwrap_err();
    assert_eq!(beside.code(), "agents_out_of_range");
    world.replayed();
}

#[test]
fn the_profile_grows_no_further_than_declared_agents_leave_room() {
    let mut world = World::new(12);
    world.instance.agents_max = Some(20);
    world.restart();
    let crew = group("crew", Layer::Micro, 5, &["echo"]);
    begin(&mut world, |it| it.fleet.groups = vec![crew]).unwrap();
    world.all_well();
    let scale = |agents| Command::ScaleFleet { agents, reason: "test".into() };
    assert_eq!(world.act(scale(16)).unwrap_err().code(), "agents_out_of_range");
    world.act(scale(15)).unwrap();
    world.instance.agents = 20;
    world.restart();
    assert_eq!(world.state.fleet().profile(), 15, "settings too find the declared ones there");
    world.replayed();
}

#[test]
fn a_deployment_that_a_crash_cuts_off_leaves_the_profile_its_size() {
    let mut world = World::new(12);
    world.instance.agents_max = Some(20);
    world.restart();
    let crew = |count| vec![group("crew", Layer::Micro, count, &["echo"])];
    begin(&mut world, |it| (it.profile, it.fleet.groups) = (Some(15), crew(5))).unwrap();
    world.all_well();
    begin(&mut world, |it| (it.profile, it.fleet.groups) = (Some(5), crew(15))).unwrap();
    world.restart();
    assert!(world.state.deployments().under_way().is_none());
    assert_eq!(world.state.fleet().profile(), 15);
    world.replayed();
}

#[test]
fn a_deployment_that_says_nothing_of_the_profile_leaves_its_size_also_after_a_restart() {
    let mut world = World::new(12);
    begin(&mut world, |it| it.profile = Some(20)).unwrap();
    finish(&mut world, &[]);
    let crew = || vec![group("crew", Layer::Micro, 1, &["echo"])];
    begin(&mut world, |it| it.fleet.groups = crew()).unwrap();
    world.act(Command::ScaleFleet { agents: 18, reason: "meanwhile".into() }).unwrap();
    world.all_well();
    assert_eq!(world.state.fleet().profile(), 18);
    world.restart();
    assert_eq!(world.state.fleet().profile(), 18);
    assert!(begin(&mut world, |it| it.fleet.groups = crew()).unwrap().events.is_empty());
    world.replayed();
}

#[test]
fn a_schedule_made_by_hand_keeps_the_workflow_that_it_names() {
    let mut world = World::new(12);
    begin(&mut world, |_| {}).unwrap();
    finish(&mut world, &[]);
    let next = Some(world.now.plus(60_000));
    let (grant, spec) = (world.grant.clone(), Arc::new(spec("mine", "0 * * * *")));
    let put = PutSchedule { namespace: "default".into(), spec, grant, seed: 7, next };
    world.act(Command::PutSchedule(Box::new(put))).unwrap();
    let refused = begin(&mut world, |it| it.workflows = Vec::new()).unwrap_err();
    assert_eq!(refused.code(), "workflow_orphaned");
    assert!(refused.to_string().contains("`mine` runs `plan`"), "{refused}");
    let schedule = ScheduleName { namespace: "default".into(), name: "mine".into() };
    world.act(Command::RemoveSchedule { schedule, reason: "test".into() }).unwrap();
    begin(&mut world, |it| it.workflows = Vec::new()).unwrap();
    world.replayed();
}

#[test]
fn a_limit_of_a_built_in_skill_holds_as_long_as_it_is_deployed() {
    let mut world = World::new(12);
    let crew = group("crew", Layer::Micro, 4, &["echo"]);
    let skills = vec![skill("echo", EffectClass::Pure, Some(1))];
    let limited = FleetSpec { groups: vec![crew.clone()], skills };
    world.deploy(limited, Vec::new()).unwrap();
    world.all_well();
    let runs: Vec<_> = (0..3).map(|_| world.submit(needs("echo"))).collect();
    let working = |world: &World| runs.iter().map(|run| world.working(*run).len()).sum::<usize>();
    assert_eq!(working(&world), 1);
    world.snapshot();
    world.work();
    assert!(runs.iter().all(|run| world.standing(*run) == RunState::Succeeded));
    let free =
        FleetSpec { groups: vec![crew], skills: vec![skill("echo", EffectClass::Pure, None)] };
    world.deploy(free, Vec::new()).unwrap();
    world.all_well();
    let runs: Vec<_> = (0..3).map(|_| world.submit(needs("echo"))).collect();
    assert_eq!(runs.iter().map(|run| world.working(*run).len()).sum::<usize>(), 3);
    world.replayed();
}

fn reporters(count: u32) -> GroupSpec {
    let workers = group("reporters", Layer::Micro, count, &["extra"]);
    GroupSpec { workers: true, concurrency: None, ..workers }
}

fn join(world: &mut World, name: &str, skills: &[&str]) -> Result<Change, Rejected> {
    let skills = skills.iter().map(|name| skill(name, EffectClass::Read, None)).collect();
    let layer = Layer::Specialist;
    let join = JoinAgent { name: name.into(), layer, concurrency: 2, skills };
    let change = world.act(Command::JoinAgent(Box::new(join)));
    world.dispatch();
    change
}

fn declared(groups: Vec<GroupSpec>) -> FleetSpec {
    FleetSpec { groups, skills: vec![skill("extra", EffectClass::Read, None)] }
}

fn standing(world: &World, name: &str) -> Option<Standing> {
    let fleet = world.state.fleet();
    Some(fleet.agent(fleet.find(name)?)?.standing)
}

#[test]
fn declared_seats_of_workers_wait_for_those_who_register_under_their_names() {
    let mut world = World::new(12);
    world.deploy(declared(vec![reporters(2)]), vec![needs("extra")]).unwrap();
    world.all_well();
    assert_eq!(standing(&world, "reporters-00000"), Some(Standing::Offline));
    let run = world.submit(needs("extra"));
    assert_eq!(world.working(run).len(), 0, "it waits");
    // Nobody but its worker can say that it is there.
    let agent = world.state.fleet().find("reporters-00000").unwrap();
    let let_in = Command::SetAgent { agent, online: true, reason: "test".into() };
    assert_eq!(world.act(let_in).unwrap_err().code(), "agent_passing");
    world.snapshot();
    let other = join(&mut world, "reporters-00001", &["extra", "more"]).unwrap_err();
    assert_eq!(other.code(), "worker_invalid");
    join(&mut world, "reporters-00001", &["extra"]).unwrap();
    assert_eq!(standing(&world, "reporters-00001"), Some(Standing::Ready));
    let fleet = world.state.fleet();
    let seat = fleet.find("reporters-00001").unwrap();
    assert_eq!((fleet.layer(seat), fleet.concurrency_of(seat)), (Layer::Micro, 2));
    assert!(fleet.is_joined(seat) && world.begun.iter().any(|begun| begun.agent == seat));
    assert!(join(&mut world, "reporters-00001", &["extra"]).unwrap().events.is_empty());
    // It shares its skill with workers that nobody declared, who mean the same by it.
    join(&mut world, "stringer", &["extra"]).unwrap();
    // When it leaves with work in hand it finishes that; its seat stays declared.
    let leave = Command::LeaveAgent { name: "reporters-00001".into(), reason: "home".into() };
    world.act(leave).unwrap();
    assert_eq!(standing(&world, "reporters-00001"), Some(Standing::Draining));
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    join(&mut world, "reporters-00001", &["extra"]).unwrap();
    assert_eq!(standing(&world, "reporters-00001"), Some(Standing::Ready));
    // After a restart it registers again, as all workers do.
    world.restart();
    assert_eq!(standing(&world, "reporters-00001"), Some(Standing::Offline));
    join(&mut world, "reporters-00001", &["extra"]).unwrap();
    world.replayed();
}

#[test]
fn a_worker_keeps_its_seat_over_deployments_that_keep_it() {
    let mut world = World::new(12);
    world.deploy(declared(vec![reporters(2)]), Vec::new()).unwrap();
    world.all_well();
    join(&mut world, "reporters-00000", &["extra"]).unwrap();
    let seat = world.state.fleet().find("reporters-00000");
    world.deploy(declared(vec![reporters(3)]), Vec::new()).unwrap();
    world.all_well();
    assert_eq!(world.state.fleet().find("reporters-00000"), seat);
    assert_eq!(standing(&world, "reporters-00000"), Some(Standing::Ready));
    assert!(world.state.fleet().remote_names().contains("reporters-00000"));
    world.deploy(FleetSpec::default(), vec![needs("echo")]).unwrap();
    world.all_well();
    assert!(!world.state.fleet().remote_names().contains("reporters-00000"));
    world.replayed();
}

#[test]
fn a_skill_that_is_needed_now_does_not_go_to_workers_whom_nobody_has_seen() {
    let mut world = World::new(12);
    let solo = group("solo", Layer::Specialist, 1, &["extra"]);
    world.deploy(declared(vec![solo]), Vec::new()).unwrap();
    world.all_well();
    let run = world.submit(needs("extra"));
    let refused = world.deploy(declared(vec![reporters(2)]), Vec::new()).unwrap_err();
    assert_eq!(refused.code(), "skill_orphaned");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.deploy(declared(vec![reporters(2)]), vec![needs("extra")]).unwrap();
    world.all_well();
    assert_eq!(world.state.deployments().version(), 2);
    world.replayed();
}

#[test]
fn seats_that_wait_for_workers_hold_no_layer() {
    let mut world = World::new(1);
    let mut experts = reporters(1);
    experts.layer = Layer::Specialist;
    world.deploy(declared(vec![experts]), Vec::new()).unwrap();
    world.all_well();
    let run = world.submit(needs("look"));
    assert_eq!(world.working(run).len(), 1, "the only agent does what specialists would");
}
