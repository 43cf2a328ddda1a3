//! What a job sees of the host, and what it leaves there.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use ark_os_sandbox::{Access, Exit, Finished, Job, Mount, Profile, SandboxError, open_beneath};

use crate::support::{also_as_ordinary_user, jail, printed, private_dir, stderr};

fn with(mounts: &[(&Path, &str, Access)], script: &str) -> Result<Finished, SandboxError> {
    let mut job = Job::new(Profile::default(), ["sh", "-c", script]);
    let mount =
        |(source, target, access): &(&Path, &str, Access)| Mount::new(source, *target, *access);
    job.mounts = mounts.iter().map(mount).collect::<Result<_, _>>()?;
    jail().run(&job, &|| false)
}

#[test]
fn a_mounted_directory_is_the_jobs_own_and_what_it_makes_is_the_owners() {
    let dir = private_dir();
    std::fs::write(dir.path().join("in"), "secret").unwrap();
    std::fs::set_permissions(dir.path().join("in"), PermissionsExt::from_mode(0o600)).unwrap();
    let script =
        "cat /w/in && id -un && stat -c %U /w/in && mkdir -p /w/a/b && echo out > /w/a/b/o";
    let finished = with(&[(dir.path(), "/w", Access::Write)], script).unwrap();
    assert_eq!(printed(&finished), "secretagent\nagent\n");
    let made = dir.path().join("a/b/o");
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "out\n");
    let owner = std::fs::metadata(dir.path()).unwrap().uid();
    assert_eq!(std::fs::metadata(&made).unwrap().uid(), owner);
    also_as_ordinary_user(
        "mounts::a_mounted_directory_is_the_jobs_own_and_what_it_makes_is_the_owners",
    );
}

#[test]
fn a_mount_for_reading_cannot_be_changed() {
    let dir = private_dir();
    std::fs::write(dir.path().join("in"), "as it was").unwrap();
    let script = "cat /deep/down/in; echo x > /deep/down/in; rm -f /deep/down/in; \
        mkdir /deep/down/d; chmod 777 /deep/down/in; ln /deep/down/in /tmp/l; true";
    let finished = with(&[(dir.path(), "/deep/down", Access::Read)], script).unwrap();
    assert_eq!(printed(&finished), "as it was");
    assert_eq!(stderr(&finished).matches("Read-only file system").count(), 4);
    assert_eq!(std::fs::read_to_string(dir.path().join("in")).unwrap(), "as it was");
    also_as_ordinary_user("mounts::a_mount_for_reading_cannot_be_changed");
}

#[test]
fn a_single_file_can_be_mounted() {
    let dir = private_dir();
    let file = dir.path().join("f");
    std::fs::write(&file, "one").unwrap();
    let script = "cat /etc/conf/f; echo two > /etc/conf/f; ls /etc/conf";
    let finished = with(&[(&file, "/etc/conf/f", Access::Write)], script).unwrap();
    assert_eq!(printed(&finished), "onef\n");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "two\n");
    also_as_ordinary_user("mounts::a_single_file_can_be_mounted");
}

#[test]
fn no_program_that_lends_its_owners_identity_is_left_behind() {
    let dir = private_dir();
    let code = "import os, ctypes\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        def tried(call):\n    try: call(); return 0\n    except OSError as error: return error.errno\n\
        open('/w/x', 'w').close()\n\
        print(tried(lambda: os.chmod('/w/x', 0o4755)), tried(lambda: os.fchmod(os.open('/w/x', 0), 0o2755)),\n\
        tried(lambda: os.open('/w/y', os.O_CREAT | os.O_WRONLY, 0o6777)),\n\
        tried(lambda: os.mknod('/w/z', 0o104755)), libc.syscall(437, -100, b'/w/v', 0, 0), ctypes.get_errno())";
    let mut job = Job::new(Profile::default(), ["/usr/bin/python3", "-c", code]);
    job.mounts = vec![Mount::new(dir.path(), "/w", Access::Write).unwrap()];
    let finished = jail().run(&job, &|| false).unwrap();
    assert_eq!(printed(&finished), "1 1 1 1 -1 38\n");
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o6000, 0);
    }
    also_as_ordinary_user("mounts::no_program_that_lends_its_owners_identity_is_left_behind");
}

#[test]
fn planted_links_lead_a_reader_nowhere() {
    let dir = private_dir();
    let script = "cd /w && ln -s /etc/shadow link && ln -s / root && mkfifo pipe && mkdir d && \
        ln -s ../.. d/up && echo fine > real";
    assert_eq!(with(&[(dir.path(), "/w", Access::Write)], script).unwrap().exit, Exit::Code(0));
    for planted in ["link", "root/etc/passwd", "pipe", "d/up/etc/passwd", "../x"] {
        assert!(open_beneath(dir.path(), Path::new(planted)).is_err(), "{planted}");
    }
    assert!(open_beneath(dir.path(), Path::new("real")).is_ok());
    also_as_ordinary_user("mounts::planted_links_lead_a_reader_nowhere");
}

#[test]
fn mounts_that_would_open_the_host_are_refused() {
    let dir = private_dir();
    symlink("/", dir.path().join("up")).unwrap();
    let no = |source: &Path, target: &str| {
        with(&[(source, target, Access::Read)], "echo ran").unwrap_err().code()
    };
    assert_eq!(no(Path::new("/proc"), "/p"), "sandbox_invalid");
    assert_eq!(no(Path::new("/sys"), "/p"), "sandbox_invalid");
    assert_eq!(no(Path::new("/sys/fs/cgroup/memory"), "/p"), "sandbox_invalid");
    assert_eq!(no(Path::new("/no/such/place"), "/p"), "sandbox_invalid");
    assert_eq!(no(dir.path(), "/proc/x"), "sandbox_invalid");
    assert_eq!(no(dir.path(), "/usr/no-such-dir"), "sandbox_invalid");
    // `/bin` is a link in the root; no mount follows one.
    assert_eq!(no(dir.path(), "/lib/x"), "sandbox_invalid");
    assert_eq!(no(&dir.path().join("up"), "/host"), "sandbox_invalid");
    also_as_ordinary_user("mounts::mounts_that_would_open_the_host_are_refused");
}

#[test]
fn what_fills_a_writable_mount_is_ended() {
    let dir = private_dir();
    let profile = Profile {
        tmp_bytes: 4 << 20,
        tmp_inodes: 200,
        wall_time: std::time::Duration::from_secs(30),
        ..Profile::default()
    };
    let fills = [
        "i=0; while :; do head -c 1000000 /dev/zero > /w/b$i; i=$((i+1)); done",
        "i=0; while :; do : > /w/c$i; i=$((i+1)); done",
        // Files without a name, held open.
        "exec 3> /w/u; rm /w/u; cat /dev/zero >&3",
    ];
    for script in fills {
        let mut job = Job::new(profile.clone(), ["sh", "-c", script]);
        job.mounts = vec![Mount::new(dir.path(), "/w", Access::Write).unwrap()];
        let finished = jail().run(&job, &|| false).unwrap();
        assert!(
            matches!(finished.exit, Exit::Files | Exit::Code(_) | Exit::Signal(25)),
            "{finished:?}"
        );
        assert_ne!(finished.exit, Exit::Code(0));
    }
    also_as_ordinary_user("mounts::what_fills_a_writable_mount_is_ended");
}

#[test]
fn what_fills_a_writable_mount_of_one_file_is_ended() {
    let dir = private_dir();
    let file = dir.path().join("log");
    std::fs::write(&file, vec![1; 8 << 20]).unwrap();
    let profile = Profile {
        tmp_bytes: 4 << 20,
        file_bytes: 1 << 30,
        wall_time: std::time::Duration::from_secs(10),
        ..Profile::default()
    };
    let exit = |script: &str| {
        let mut job = Job::new(profile.clone(), ["sh", "-c", script]);
        job.mounts = vec![Mount::new(&file, "/log", Access::Write).unwrap()];
        jail().run(&job, &|| false).unwrap().exit
    };
    assert_eq!(exit("echo line >> /log; sleep 0.3"), Exit::Code(0), "what was there is no growth");
    let fills = "while :; do head -c 1000000 /dev/zero >> /log; sleep 0.1; done";
    assert_eq!(exit(fills), Exit::Files);
    also_as_ordinary_user("mounts::what_fills_a_writable_mount_of_one_file_is_ended");
}

#[test]
fn what_takes_the_place_of_a_source_is_not_mounted() {
    let dir = private_dir();
    let shared = dir.path().join("shared");
    std::fs::create_dir_all(shared.join("in")).unwrap();
    std::fs::create_dir_all(dir.path().join("host")).unwrap();
    std::fs::write(dir.path().join("host/shadow"), "secret").unwrap();
    let mount = |name: &str| Mount::new(shared.join(name), "/w", Access::Read).unwrap();
    let seen = |mount: &Mount| {
        let mut job = Job::new(Profile::default(), ["cat", "/w/shadow"]);
        job.mounts = vec![mount.clone()];
        jail().run(&job, &|| false)
    };
    let read = mount("in");
    assert_eq!(seen(&read).unwrap().exit, Exit::Code(1));
    // Another job may write in `shared`, and puts a link or another directory there.
    let other = "cd /s && mv in x && ln -s ../host in";
    assert_eq!(with(&[(&shared, "/s", Access::Write)], other).unwrap().exit, Exit::Code(0));
    assert_eq!(seen(&read).unwrap_err().code(), "sandbox_invalid");
    let other = "cd /s && rm in && mkdir in";
    assert_eq!(with(&[(&shared, "/s", Access::Write)], other).unwrap().exit, Exit::Code(0));
    assert_eq!(seen(&read).unwrap_err().code(), "sandbox_invalid");
    let other = "cd /s && rmdir in && mv x in";
    assert_eq!(with(&[(&shared, "/s", Access::Write)], other).unwrap().exit, Exit::Code(0));
    assert_eq!(seen(&read).unwrap().exit, Exit::Code(1));
    also_as_ordinary_user("mounts::what_takes_the_place_of_a_source_is_not_mounted");
}

#[test]
fn what_others_have_in_a_mount_is_not_counted_to_a_job() {
    let dir = private_dir();
    for number in 0..300 {
        std::fs::write(dir.path().join(format!("old{number}")), vec![1; 40_000]).unwrap();
    }
    let profile = Profile { tmp_bytes: 4 << 20, tmp_inodes: 200, ..Profile::default() };
    // More than it may add is there, and more than it may add is written elsewhere meanwhile.
    let mut job = Job::new(profile, ["sh", "-c", "cat /w/* > /dev/null; sleep 0.4; : > /w/new"]);
    job.mounts = vec![Mount::new(dir.path(), "/w", Access::Write).unwrap()];
    // Until the times of files tell what was there from what the job makes.
    let written = std::fs::metadata(dir.path().join("old299")).unwrap().ctime();
    while rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse).tv_sec <= written {
        std::thread::yield_now();
    }
    let elsewhere = private_dir();
    let finished = jail()
        .run(&job, &|| {
            std::fs::write(elsewhere.path().join("big"), vec![1; 20 << 20]).unwrap();
            false
        })
        .unwrap();
    assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    also_as_ordinary_user("mounts::what_others_have_in_a_mount_is_not_counted_to_a_job");
}
