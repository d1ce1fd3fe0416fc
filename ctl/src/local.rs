//! The settings of the local stack, in the repository where it was started.

use std::env;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Parser};

/// Variables that name a server. If one of them is given, or its flag, none is taken from
/// the local stack: half of one system and half of another are worse than an error.
const SERVERS: [&str; 6] = [
    "MONGODB_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "MYSQL_HOST",
    "MYSQL_PORT",
    "MYSQL_PASSWORD",
    "API_URL",
];

/// Parses the command line. Ends the process where that is wrong, or asks for help.
pub fn parse<C: Parser>() -> C {
    let is_given = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    if SERVERS.iter().any(|name| is_given(name)) {
        return C::parse();
    }
    let Some(settings) = Settings::find() else {
        return C::parse();
    };
    let plain = C::command();
    let matches = settings.fill(plain.clone()).get_matches();
    let from = Sources::of(&plain, &matches);
    if from.names_server {
        return C::parse();
    }
    if from.takes_settings {
        // Nothing else is left to be done about a closed stderr.
        let _ =
            writeln!(std::io::stderr(), "outboxctl: local stack of {}", settings.path.display());
    }
    C::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// What the stack's file says.
struct Settings {
    path: PathBuf,
    values: Vec<(String, String)>,
}

impl Settings {
    fn find() -> Option<Self> {
        let path = path()?;
        let text = std::fs::read_to_string(&path).ok()?;
        let values = text.lines().filter_map(|line| line.split_once('='));
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(Self { path, values })
    }

    /// Gives the arguments defaults. Environment variables and flags go before them.
    fn fill(&self, command: Command) -> Command {
        let names: Vec<String> =
            command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
        let command = command.mut_args(|argument| self.fill_argument(argument));
        names.into_iter().fold(command, |command, name| {
            command.mut_subcommand(name, |subcommand| self.fill(subcommand))
        })
    }

    fn fill_argument(&self, argument: Arg) -> Arg {
        let Some(value) = self.value_of(&argument) else {
            return argument;
        };
        // Clap keeps no text of ours, only what lives as long as the process.
        let value: &'static str = value.to_owned().leak();
        let is_secret = argument.is_hide_env_values_set();
        argument.required(false).default_value(value).hide_default_value(is_secret)
    }

    fn value_of(&self, argument: &Arg) -> Option<&str> {
        let name = argument.get_env()?;
        let (_, value) = self.values.iter().find(|(it, _)| OsStr::new(it) == name)?;
        Some(value)
    }
}

/// STACK_DIR/env, else .stack/env of the repository around the current directory.
fn path() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("STACK_DIR").filter(|it| !it.is_empty()) {
        return Some(Path::new(&folder).join("env"));
    }
    let here = env::current_dir().ok()?;
    let is_repository = |folder: &&Path| folder.join("deploy/local/stack").is_file();
    Some(here.ancestors().find(is_repository)?.join(".stack/env"))
}

/// Where the values of a command line come from.
#[derive(Default)]
struct Sources {
    names_server: bool,
    takes_settings: bool,
}

impl Sources {
    fn of(command: &Command, matches: &ArgMatches) -> Self {
        let mut sources = Self::default();
        let (mut command, mut matches) = (command, matches);
        loop {
            for argument in command.get_arguments() {
                let Some(name) = argument.get_env() else { continue };
                let is_server = SERVERS.iter().any(|it| OsStr::new(it) == name);
                match matches.value_source(argument.get_id().as_str()) {
                    Some(ValueSource::CommandLine) => sources.names_server |= is_server,
                    Some(ValueSource::DefaultValue) => sources.takes_settings |= is_server,
                    _ => {}
                }
            }
            let Some((name, below)) = matches.subcommand() else {
                return sources;
            };
            let Some(subcommand) = command.find_subcommand(name) else {
                return sources;
            };
            (command, matches) = (subcommand, below);
        }
    }
}
