//! Running other programs: reads a command line, produces its outcome, with the command and the end of its output in
//! every error.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read},
    process::{Command, Stdio},
    sync::mpsc::RecvTimeoutError,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use observer_tests::places;

/// Lines of a failed command's output that its error shows.
const TAIL: usize = 15;

/// A command that runs in the workspace's root.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(places::workspace());
    command
}

/// Cargo, the one that runs this program.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    command(&cargo, arguments)
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or(&program).to_owned();
    command
        .get_args()
        .map(OsStr::to_string_lossy)
        .fold(program, |line, argument| {
            if argument.contains(' ') {
                format!("{line} '{argument}'")
            } else {
                format!("{line} {argument}")
            }
        })
}

/// Runs it with its output on this terminal.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let line = shown(&command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Runs it silently; the error carries the end of what it wrote.
pub(crate) fn quiet(mut command: Command) -> Result<String> {
    let line = shown(&command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let written = text(&output.stdout) + &text(&output.stderr);
    let lines: Vec<&str> = written.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
    bail!("`{line}` failed: {}\n  {tail}", output.status)
}

/// Whether it succeeds; what it writes is nobody's business.
pub(crate) fn succeeds(mut command: Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs it, hands every line of its output (both streams) to `line` as it comes and says whether it succeeded.
pub(crate) fn each_line(mut command: Command, mut line: impl FnMut(&str) + Send) -> Result<bool> {
    let shown = shown(&command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let (sender, lines) = std::sync::mpsc::channel::<String>();
    let forward = |stream: Option<Box<dyn Read + Send>>| {
        let sender = sender.clone();
        stream.map(|stream| {
            thread::spawn(move || {
                for text in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    if sender.send(String::from_utf8_lossy(&text).into_owned()).is_err() {
                        break;
                    }
                }
            })
        })
    };
    let _stdout = forward(
        child
            .stdout
            .take()
            .map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    );
    let _stderr = forward(
        child
            .stderr
            .take()
            .map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    );
    drop(sender);
    loop {
        match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(text) => line(&text),
            Err(RecvTimeoutError::Disconnected) => break,
            // A process that outlived the command may hold its output open for ever: the command's own end counts.
            Err(RecvTimeoutError::Timeout) => {
                if child
                    .try_wait()
                    .with_context(|| format!("cannot wait for `{shown}`"))?
                    .is_some()
                {
                    break;
                }
            }
        }
    }
    Ok(child
        .wait()
        .with_context(|| format!("cannot wait for `{shown}`"))?
        .success())
}
