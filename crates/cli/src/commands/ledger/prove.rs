//! `ark-os ledger prove`: writes the proof bundle of a run.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ark_os_api::Exit;
use ark_os_core::ids::RunId;
use ark_os_runtime::proofs::Offline;
use serde_json::json;

use super::{configured_archive, keep};
use crate::client::segment;
use crate::failure::Failure;
use crate::session::Session;

/// Write a bundle that proves what happened in a run
///
/// Anybody can check it with `ark-os ledger verify BUNDLE`, or with `tools/verify_bundle.py`, without
/// an instance. Records hold what is in them: where another run was the first of the same workflow, that
/// run's first record, with its input, is in the bundle too.
#[derive(Debug, clap::Args)]
pub(super) struct Prove {
    /// The run; it must be over
    #[arg(value_name = "RUN")]
    run: String,
    /// Where to write the bundle; `-` is the standard output [default: RUN.proof.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Embed the data that is too large to be in the records
    #[arg(long)]
    with_payloads: bool,
    /// Checkpoint that was kept elsewhere, which the bundle is to go on from
    #[arg(long, value_name = "FILE")]
    kept: Option<PathBuf>,
    /// Directory of the archived segments [default: as `store.archive_dir` says]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

impl Prove {
    pub(super) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let run = RunId::parse(&self.run).ok_or_else(|| {
            Failure::usage(format!("`{}` is no id of a run", self.run))
                .with_hint("`ark-os list runs` shows them")
        })?;
        let kept = self.kept.as_deref().map(keep::newest).transpose()?;
        let out = self.out.clone().unwrap_or_else(|| PathBuf::from(format!("{run}.proof.json")));
        if out.as_os_str() == "-" {
            self.write(session, run, kept.as_deref(), &mut io::stdout().lock())?;
            return Ok(Exit::Done);
        }
        // Half a bundle never has the name of a whole one.
        let unfinished = out.with_extension("unfinished");
        let written = self.to_file(session, run, kept.as_deref(), &unfinished);
        let bytes = match written {
            Ok(bytes) => bytes,
            Err(failure) => {
                // It may not have been made.
                let _ = std::fs::remove_file(&unfinished);
                return Err(failure);
            }
        };
        std::fs::rename(&unfinished, &out).map_err(|error| unwritable(&out, &error))?;
        let document = json!({ "run": run, "file": out, "bytes": bytes });
        session.output.answer(&document, |_| {
            let check = format!("ark-os ledger verify {}", out.display());
            vec![format!("{} ({bytes} bytes); check it with `{check}`", out.display())]
        })?;
        Ok(Exit::Done)
    }

    fn to_file(
        &self,
        session: &Session,
        run: RunId,
        kept: Option<&str>,
        path: &Path,
    ) -> Result<u64, Failure> {
        let file = File::create(path).map_err(|error| unwritable(path, &error))?;
        let mut out = BufWriter::new(file);
        self.write(session, run, kept, &mut out)?;
        let mut finish = || {
            out.flush()?;
            out.get_ref().sync_all()?;
            Ok(out.get_ref().metadata()?.len())
        };
        finish().map_err(|error: io::Error| unwritable(path, &error))
    }

    fn write(
        &self,
        session: &Session,
        run: RunId,
        kept: Option<&str>,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let client = session.client();
        let is_by_address = session.reach.is_by_address(&session.environment);
        match client {
            Ok(client) if is_by_address || client.is_alive() => {
                let kept = kept.map(|note| format!("&kept={}", segment(note))).unwrap_or_default();
                let path = format!("/runs/{run}/proof?payloads={}{kept}", self.with_payloads);
                let mut bundle = client.open(&path)?;
                io::copy(&mut bundle, out).map(|_| ()).map_err(|error| {
                    Failure::new("instance_unreachable", format!("the bundle broke off: {error}"))
                        .with_hint("the log of the instance says why, if it still runs")
                })
            }
            Err(failure) if is_by_address => Err(failure),
            // Nobody runs: the data directory is all there is.
            _ => {
                let data_dir = session.reach.data_dir(&session.environment);
                let configured = match &self.archive {
                    Some(_) => None,
                    None => configured_archive(session)?,
                };
                let archive = self.archive.as_deref().or(configured.as_deref());
                let offline = Offline::open(&data_dir, archive)?;
                let prepared = offline.prepare(run, self.with_payloads, kept)?;
                prepared.write(offline.evidence(), out)?;
                Ok(offline.close()?)
            }
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot write `{}`: {error}", path.display()))
}
