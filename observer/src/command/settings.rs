//! Settings as arguments: reads the table of settings, produces a flag for each, and the configuration they make.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Arg, ArgMatches, Args, FromArgMatches};

use crate::{
    config::{self, Config, Problems, key},
    terminal::say,
};

/// The configuration file, and a flag for each setting of [`key::KEYS`].
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigArgs {
    file: Option<PathBuf>,
    flags: BTreeMap<&'static str, String>,
}

impl ConfigArgs {
    /// The validated configuration; what is odd about it goes to standard error.
    pub(super) fn load(&self) -> Result<Config, Problems> {
        let loaded = config::load(&self.flags, self.file.as_deref())?;
        for notice in &loaded.notices {
            say(notice);
        }
        Ok(loaded.config)
    }
}

impl Args for ConfigArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .help(format!(
                "Configuration file; also OBSERVER_CONFIG [default: {}, if present]",
                key::DEFAULT_FILE
            ))
            .value_parser(clap::value_parser!(PathBuf));
        command.arg(file).args(
            key::KEYS
                .iter()
                .map(|key| Arg::new(key.name).long(key.name).value_name(key.value).help(key.help)),
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            file: matches.get_one::<PathBuf>("config").cloned(),
            flags: key::KEYS
                .iter()
                .filter_map(|key| Some((key.name, matches.get_one::<String>(key.name)?.clone())))
                .collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
