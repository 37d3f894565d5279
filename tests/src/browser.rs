//! A browser without a screen: reads a page's address, a width and a colour scheme, produces what the page's console says
//! and what an expression in it evaluates to. Chromium is told what to do over a pair of pipes (its DevTools protocol).

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{lines::Lines, places, stage::Scratch};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running browser with one page.
pub struct Browser {
    child: Child,
    write: File,
    read: Lines,
    session: Option<String>,
    last: u64,
    // Its profile and its pipes; removed with it.
    _directory: Scratch,
}

impl Browser {
    /// Starts it with an empty page.
    pub fn start() -> Result<Self> {
        Self::at("about:blank")
    }

    /// Starts it at an address.
    pub fn at(url: &str) -> Result<Self> {
        let program = places::program("chromium").context("no chromium")?;
        let directory = Scratch::new("browser")?;
        let pipe = |name: &str| {
            let path = directory.file(name);
            let made = Command::new("mkfifo").arg(&path).status()?;
            if !made.success() {
                bail!("mkfifo {} failed", path.display());
            }
            Ok(path)
        };
        let (to, from) = (pipe("to")?, pipe("from")?);
        // Its ends of the pipes are descriptors 3 and 4.
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\""])
            .arg(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", directory.file("profile").display()))
            .env("TO", &to)
            .env("FROM", &from)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromium")?;
        // Opening waits for the other end, in the order in which the shell opens them.
        let write = OpenOptions::new().write(true).open(&to)?;
        let (sender, messages) = std::sync::mpsc::channel();
        let read = File::open(&from)?;
        std::thread::spawn(move || {
            let messages = BufReader::new(read).split(0).map_while(Result::ok);
            for message in messages {
                if sender.send(String::from_utf8_lossy(&message).into_owned()).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            write,
            read: Lines::from_channel(messages),
            session: None,
            last: 0,
            _directory: directory,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": url }))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.ask("Target.attachToTarget", attach)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.ask(domain, json!({}))?;
        }
        Ok(browser)
    }

    /// Sends a command; its result.
    fn ask(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.last += 1;
        let id = self.last;
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.write.write_all(format!("{command}\0").as_bytes())?;
        let answer = self.read.wait(method, PATIENCE, |message| {
            let message: Value = serde_json::from_str(message).ok()?;
            (message["id"] == id).then_some(message)
        })?;
        match answer.get("error") {
            Some(error) => bail!("{method}: {error}"),
            None => Ok(answer["result"].clone()),
        }
    }

    /// Opens a file, in so many columns of pixels, light or dark; what its console said of it.
    pub fn open(&mut self, file: &Path, width: u32, dark: bool) -> Result<Vec<String>> {
        let metrics = json!({"width": width, "height": 1_200, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", metrics)?;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", media)?;
        let before = self.read.so_far().len();
        self.ask("Page.navigate", json!({"url": format!("file://{}", file.display())}))?;
        let seen = std::cell::Cell::new(0);
        self.read.wait("the page's end", PATIENCE, |message| {
            seen.set(seen.get() + 1);
            (seen.get() > before && message.contains("\"Page.loadEventFired\"")).then_some(())
        })?;
        let said = self.read.so_far().iter().skip(before);
        let console = [
            "\"Log.entryAdded\"",
            "\"Runtime.consoleAPICalled\"",
            "\"Runtime.exceptionThrown\"",
        ];
        let said = said.filter(|message| console.iter().any(|event| message.contains(event)));
        Ok(said.cloned().collect())
    }

    /// What an expression evaluates to in the page; of a promise, what it is settled with.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", asked)?;
        match answer.get("exceptionDetails") {
            Some(details) => bail!("{expression}: {details}"),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// The whole page as a PNG, in base64.
    pub fn screenshot(&mut self) -> Result<String> {
        let asked = json!({"format": "png", "captureBeyondViewport": true});
        let answer = self.ask("Page.captureScreenshot", asked)?;
        answer["data"].as_str().map(str::to_owned).context("no picture")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
