//! `ark-os man`.

use std::path::{Path, PathBuf};

use ark_os_api::Exit;

use crate::failure::Failure;
use crate::session::Session;

/// Print the manual page, or write those of all commands into a directory
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write `ark-os.1`, `ark-os-run.1`, … there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let mut definition = super::definition();
        definition.build();
        let Some(dir) = &self.out else {
            session.output.bytes(&page("ark-os", &definition)?)?;
            return Ok(Exit::Done);
        };
        write(dir, "ark-os", &definition)?;
        for command in definition.get_subcommands().filter(|it| !it.is_hide_set()) {
            let name = format!("ark-os-{}", command.get_name());
            write(dir, &name, command)?;
        }
        session.output.note(&format!("wrote the manual pages into {}", dir.display()));
        Ok(Exit::Done)
    }
}

fn page(name: &str, command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut text)?;
    Ok(text)
}

fn write(dir: &Path, name: &str, command: &clap::Command) -> Result<(), Failure> {
    let path = dir.join(format!("{name}.1"));
    let text = page(name, command)?;
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|error| Failure::usage(format!("cannot write `{}`: {error}", path.display())))
}
