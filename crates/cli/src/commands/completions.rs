//! `ark-os completions`.

use ark_os_api::Exit;
use clap::ValueEnum;

use crate::failure::Failure;
use crate::session::Session;

/// Print the completion script of a shell
///
/// For bash: `ark-os completions bash > ~/.local/share/bash-completion/completions/ark-os`
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Completions {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Elvish => clap_complete::Shell::Elvish,
            Shell::Fish => clap_complete::Shell::Fish,
            Shell::Powershell => clap_complete::Shell::PowerShell,
            Shell::Zsh => clap_complete::Shell::Zsh,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut super::definition(), "ark-os", &mut script);
        session.output.bytes(&script)?;
        Ok(Exit::Done)
    }
}
