//! Deployments to an instance that runs: set up, looked at, used, taken back, and there again after a
//! restart.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ark_os_core::event::{Event, Standing};
use ark_os_core::layer::Layer;
use ark_os_core::plan::EffectClass;
use ark_os_core::rules::Mode;
use ark_os_core::run::RunState;
use ark_os_runtime::agents::Secret;
use ark_os_runtime::deployment::{DeployRequest, Deployed};
use ark_os_runtime::remote::{Claim, Claimed, Fate, OfferedSkill, Presented, Registration, Told};
use ark_os_runtime::{
    Components, Handle, Instance, PlanRequest, RunRequest, RuntimeError, Settings,
};
use serde_json::{Value, json};

use crate::server::{Act, Server};
use crate::world::{PATIENCE, output};

pub(crate) fn answering(text: &'static str) -> Server {
    Server::start(move |_| Act::Answer(200, text.to_owned()))
}

/// An agent `caller` that offers `call.it` there, and a workflow `ask` that needs it.
pub(crate) fn manifest(url: &str, more: Value) -> Value {
    let mut http = json!({"url": url, "allow_private": true, "effect": "idempotent"});
    http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "agents": [{"name": "caller", "skills": ["call.it"], "behaviour": {"http": http}}],
        "workflows": [{"name": "ask", "tasks": [{"name": "only", "skill": "call.it"}]}],
    })
}

pub(crate) fn request(manifest: Value) -> DeployRequest {
    let reason = "a test".into();
    let namespace = "default".into();
    DeployRequest { manifest, base: None, namespace, expected: None, health_timeout: None, reason }
}

pub(crate) async fn deploy(handle: &Handle, manifest: Value) -> Result<Deployed, RuntimeError> {
    let deployed = handle.deploy(request(manifest)).await?;
    assert!(handle.deployment_over(deployed.version, PATIENCE).await?);
    Ok(deployed)
}

async fn version(handle: &Handle) -> u64 {
    handle.read(|kernel| kernel.state().deployments().version()).await.unwrap()
}

async fn standing(handle: &Handle) -> (Standing, Option<String>) {
    let look = |kernel: &ark_os_runtime::kernel::Kernel| {
        let fleet = kernel.state().fleet();
        let agent = fleet.find("caller")?;
        Some((fleet.agent(agent)?.standing, fleet.reason(agent).map(ToString::to_string)))
    };
    handle.read(look).await.unwrap().unwrap()
}

async fn ask(handle: &Handle) -> Result<Value, RuntimeError> {
    let request = RunRequest::new(PlanRequest::Deployed("ask".to_owned()), b"{}".to_vec());
    let (_, outcome) = handle.submit_and_wait(request, PATIENCE).await?;
    Ok(output(handle, &outcome.expect("it ends in time")))
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    components: Components,
    /// Whether the secret is there.
    has_secret: Arc<AtomicBool>,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(dir.path());
        settings.segment_bytes = 1 << 20;
        settings.mode = Mode::Autonomous;
        settings.agents = 12;
        let mut components = Components::builtin();
        let has_secret = Arc::new(AtomicBool::new(true));
        let is_there = has_secret.clone();
        components.secret = Arc::new(move |_, _| match is_there.load(Ordering::SeqCst) {
            true => Ok(Secret::new("Bearer planted".to_owned())),
            false => Err("the variable `KEY` is not set".to_owned()),
        });
        World { settings, components, has_secret, _dir: dir }
    }

    pub(crate) fn start(&self) -> Instance {
        Instance::start(self.settings.clone(), self.components.clone()).unwrap()
    }
}

#[tokio::test]
async fn a_deployed_agent_works_from_the_end_of_its_deployment_on_and_after_a_restart() {
    let (first, second) = (answering("1"), answering("2"));
    let world = World::new();
    let instance = world.start();
    let handle = instance.handle();
    assert_eq!(ask(&handle).await.unwrap_err().code(), "workflow_not_found");
    let deployed = deploy(&handle, manifest(&first.url("/"), json!({}))).await.unwrap();
    assert_eq!((deployed.version, deployed.is_new), (1, true));
    assert_eq!(ask(&handle).await.unwrap(), json!(1));
    assert!(first.seen().len() == 1, "a look at it is no call");
    // The same again changes nothing; another address takes the place of the first.
    let again = deploy(&handle, manifest(&first.url("/"), json!({}))).await.unwrap();
    assert_eq!((again.version, again.is_new), (1, false));
    deploy(&handle, manifest(&second.url("/"), json!({}))).await.unwrap();
    assert_eq!(ask(&handle).await.unwrap(), json!(2));
    // A single task of that skill is known, too, and the record says who worked.
    let (submitted, outcome) = handle
        .submit_and_wait(RunRequest::task("call.it", b"{}".to_vec()), PATIENCE)
        .await
        .unwrap();
    assert_eq!(outcome.unwrap().state, RunState::Succeeded);
    let newest = handle.read(|kernel| kernel.newest()).await.unwrap();
    handle.viewed().wait_for(|viewed| *viewed >= newest).await.unwrap();
    let names = names_of(&handle, submitted.run);
    assert_eq!(names, ["caller"]);
    instance.stop().unwrap();
    let instance = world.start();
    assert_eq!(version(&instance.handle()).await, 2);
    assert_eq!(ask(&instance.handle()).await.unwrap(), json!(2));
    instance.stop().unwrap();
}

fn names_of(handle: &Handle, run: ark_os_core::ids::RunId) -> Vec<String> {
    let mut names = Vec::new();
    let page = handle.history(run, 0, 100).unwrap();
    for event in page.records.iter().flat_map(|it| &it.change.events) {
        if let Event::AttemptStarted(started) = event {
            names.extend(started.place.as_ref().map(|place| place.name.to_string()));
        }
    }
    names
}

#[tokio::test]
async fn an_agent_that_is_not_healthy_is_not_deployed_and_nothing_changes() {
    let server = answering("1");
    let world = World::new();
    let instance = world.start();
    let handle = instance.handle();
    deploy(&handle, manifest(&server.url("/"), json!({}))).await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = deploy(&handle, manifest(&format!("http://{closed}/"), json!({}))).await.unwrap();
    assert_eq!(refused.version, 2);
    let over = handle.read(|kernel| kernel.state().deployments().past().next_back().cloned());
    let why = over.await.unwrap().unwrap().rolled_back.unwrap();
    assert!(why.contains("`caller` is not healthy: reach http://127.0.0.1"), "{why}");
    assert_eq!(version(&handle).await, 1);
    assert_eq!(ask(&handle).await.unwrap(), json!(1));
    // A manifest that is wrong, or takes a skill that there is, is told with its places.
    let wrong = handle.deploy(request(json!({"agents": [{"name": "x"}]}))).await.unwrap_err();
    assert!(wrong.code() == "manifest_invalid" && !wrong.places().is_empty());
    let mut taken = manifest(&server.url("/"), json!({}));
    taken["agents"][0]["skills"] = json!(["echo"]);
    taken["workflows"] = json!([{"name": "ask", "tasks": [{"name": "only", "skill": "echo"}]}]);
    let taken = handle.deploy(request(taken)).await.unwrap_err();
    assert!(taken.places().iter().any(|it| it.pointer == "/agents/0/skills/0"), "{taken:?}");
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_deployed_service_that_goes_away_is_unhealthy_until_it_is_there_again() {
    let world = World::new();
    let instance = world.start();
    let handle = instance.handle();
    assert_eq!(handle.unhealthy().await.unwrap(), []);
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = service.local_addr().unwrap();
    deploy(&handle, manifest(&format!("http://{address}/"), json!({}))).await.unwrap();
    assert_eq!(handle.unhealthy().await.unwrap(), []);
    drop(service);
    let found = handle.unhealthy().await.unwrap();
    assert_eq!((found.len(), found[0].group.as_deref()), (1, Some("caller")));
    assert_eq!(found[0].skill, "call.it");
    assert!(found[0].why.contains("reach http://127.0.0.1"), "{found:?}");
    let _service = TcpListener::bind(address).unwrap();
    assert_eq!(handle.unhealthy().await.unwrap(), []);
    instance.stop().unwrap();
}

#[tokio::test]
async fn an_agent_whose_secret_is_gone_is_offline_after_a_restart_and_all_else_goes_on() {
    let server = answering("1");
    let world = World::new();
    let instance = world.start();
    let secret = json!({"secret_headers": {"Authorization": "env:KEY"}});
    deploy(&instance.handle(), manifest(&server.url("/"), secret)).await.unwrap();
    assert_eq!(ask(&instance.handle()).await.unwrap(), json!(1));
    instance.stop().unwrap();
    world.has_secret.store(false, Ordering::SeqCst);
    let instance = world.start();
    let (standing_now, why) = standing(&instance.handle()).await;
    assert_eq!(standing_now, Standing::Offline);
    assert!(why.unwrap().contains("`KEY` is not set"));
    let echo = RunRequest::task("echo", b"7".to_vec());
    let (_, outcome) = instance.handle().submit_and_wait(echo, PATIENCE).await.unwrap();
    assert_eq!(outcome.unwrap().state, RunState::Succeeded);
    instance.stop().unwrap();
    world.has_secret.store(true, Ordering::SeqCst);
    let instance = world.start();
    assert_eq!(standing(&instance.handle()).await, (Standing::Ready, None));
    assert_eq!(ask(&instance.handle()).await.unwrap(), json!(1));
    instance.stop().unwrap();
}

fn newsroom(more: Value) -> Value {
    let mut manifest = json!({
        "skills": [{"name": "news.headline", "effect": "read", "output": {"type": "object", "required": ["text"]}}],
        "groups": [{"name": "reporters", "count": 2, "skills": ["news.headline"], "behaviour": "worker"}],
        "workflows": [{"name": "ask", "tasks": [{"name": "only", "skill": "news.headline"}]}],
    });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manifest
}

fn reporter(name: &str, class: EffectClass) -> Registration {
    let skill = OfferedSkill { name: "news.headline".into(), class, input: None, output: None };
    Registration {
        name: name.into(),
        layer: Layer::Specialist,
        concurrency: 1,
        skills: vec![skill],
        labels: Default::default(),
    }
}

/// What the worker takes when it asks for work.
async fn claimed(handle: &Handle, name: &str, session: &str) -> Vec<Claimed> {
    let claim = Claim { max: 1, wait: PATIENCE, number: None };
    handle.remotes().claim(name, session, claim).await.unwrap()
}

#[tokio::test]
async fn a_declared_worker_takes_its_seat_when_it_registers_under_the_manifests_contract() {
    let world = World::new();
    let instance = world.start();
    let handle = instance.handle();
    deploy(&handle, newsroom(json!({}))).await.unwrap();
    assert_eq!(version(&handle).await, 1, "nobody has to be there yet");
    let bold = reporter("reporters-00000", EffectClass::Effectful);
    let bold = handle.register_worker(bold).await.unwrap_err();
    assert!(bold.places().iter().any(|it| it.pointer == "/skills/0/effect"), "{bold:?}");
    let plan = PlanRequest::Deployed("ask".to_owned());
    let asking = RunRequest::new(plan, b"{}".to_vec());
    let waiting = {
        let handle = handle.clone();
        tokio::spawn(async move { handle.submit_and_wait(asking, PATIENCE).await })
    };
    let session =
        handle.register_worker(reporter("reporters-00000", EffectClass::Read)).await.unwrap();
    let work = claimed(&handle, "reporters-00000", &session.secret).await;
    // The contract says what an output is; the worker has not repeated it.
    let wrong = vec![(work[0].pt, Presented::Output("7".into()))];
    let told = handle.remotes().finish("reporters-00000", &session.secret, wrong).await.unwrap();
    assert!(
        matches!(&told[0], Told::Over(Fate::Refused { code, .. }, _) if code == "output_invalid"),
        "{told:?}"
    );
    let work = claimed(&handle, "reporters-00000", &session.secret).await;
    let right = vec![(work[0].pt, Presented::Output("{\"text\":\"rain\"}".into()))];
    handle.remotes().finish("reporters-00000", &session.secret, right).await.unwrap();
    let (_, outcome) = waiting.await.unwrap().unwrap();
    assert_eq!(outcome.unwrap().state, RunState::Succeeded);
    // One that is not declared any more is told to register again, once its hands are empty.
    deploy(&handle, json!({"workflows": newsroom(json!({}))["workflows"]})).await.unwrap_err();
    deploy(&handle, json!({"fleet": {"agents": 12}})).await.unwrap();
    let name = "reporters-00000";
    let gone = async {
        loop {
            match handle.remotes().extend(name, &session.secret, Vec::new()).await {
                Err(error) => return error,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let gone = tokio::time::timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(gone.code(), "worker_not_found");
    instance.stop().unwrap();
}

#[tokio::test]
async fn what_registered_workers_offer_in_another_way_is_not_deployed() {
    let world = World::new();
    let instance = world.start();
    let handle = instance.handle();
    handle.register_worker(reporter("stringer", EffectClass::Idempotent)).await.unwrap();
    let refused = handle.deploy(request(newsroom(json!({})))).await.unwrap_err();
    assert_eq!(refused.code(), "skill_taken");
    let same_name = json!({"groups": [{"name": "stringer", "count": 1, "skills": ["else"], "behaviour": "worker"}],
        "skills": [], "workflows": [{"name": "w", "tasks": [{"name": "t", "skill": "echo"}]}]});
    let refused = handle.deploy(request(newsroom(same_name))).await.unwrap_err();
    assert_eq!(refused.code(), "fleet_invalid");
    instance.stop().unwrap();
}

#[tokio::test]
async fn an_agent_whose_paths_begin_elsewhere_is_exchanged_and_others_are_not() {
    let server = answering("1");
    let world = World::new();
    let instance = world.start();
    let handle = instance.handle();
    let seat = async || {
        let find = |kernel: &ark_os_runtime::kernel::Kernel| kernel.state().fleet().find("caller");
        handle.read(find).await.unwrap().unwrap()
    };
    for (file, is_exchanged) in [("file:key", true), ("file:/etc/key", false)] {
        let secret = json!({"secret_headers": {"Authorization": file}});
        let manifest = manifest(&server.url("/"), secret);
        let mut seats = Vec::new();
        for base in ["/one", "/other", "/other"] {
            let deploy = DeployRequest { base: Some(base.into()), ..request(manifest.clone()) };
            let deployed = handle.deploy(deploy).await.unwrap();
            assert!(handle.deployment_over(deployed.version, PATIENCE).await.unwrap());
            seats.push(seat().await);
        }
        assert_eq!((seats[0] != seats[1], seats[1] != seats[2]), (is_exchanged, false), "{file}");
    }
    instance.stop().unwrap();
}
