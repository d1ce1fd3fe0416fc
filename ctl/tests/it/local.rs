//! `outboxctl` in a clone of the repository, in a shell that has set nothing.

use std::path::PathBuf;

use crate::stack::{Run, Stack};

/// A repository with a local stack: as much of it as `outboxctl` looks at.
struct Clone(PathBuf);

impl Clone {
    fn of(stack: &Stack) -> Self {
        let root = std::env::temp_dir().join(&stack.name);
        std::fs::create_dir_all(root.join("deploy/local")).unwrap();
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::create_dir(root.join(".stack")).unwrap();
        std::fs::write(root.join("deploy/local/stack"), "").unwrap();
        let test_stack = PathBuf::from(std::env::var_os("OUTBOX_TEST_STACK").unwrap());
        let settings = std::fs::read_to_string(test_stack.join("env")).unwrap();
        let settings = settings.lines().map(|line| match line.split_once('=').unwrap() {
            (name @ ("DATABASE_NAME" | "MYSQL_DATABASE"), _) => format!("{name}={}\n", stack.name),
            _ => format!("{line}\n"),
        });
        std::fs::write(root.join(".stack/env"), settings.collect::<String>()).unwrap();
        Self(root)
    }

    async fn outboxctl(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_outboxctl"));
        command.args(arguments).env_clear().envs(variables.iter().copied());
        command.current_dir(self.0.join("docs")).output().await.unwrap().into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_stack_is_found_unless_a_server_is_named() {
    let stack = Stack::new().await;
    let clone = Clone::of(&stack);
    let found = clone.outboxctl(&["verify"], &[]).await;
    assert_eq!(found.code, Some(0), "{}{}", found.stdout, found.stderr);
    assert!(found.stderr.contains("/.stack/env"), "it says so: {}", found.stderr);

    // Half of this system and half of another would be the worst.
    let nowhere = "mongodb://127.0.0.1:1/?replicaSet=rs0";
    for (arguments, variables) in [
        (&["verify", "--mongodb-url", nowhere][..], &[][..]),
        (&["verify"], &[("MONGODB_URL", nowhere)]),
    ] {
        let refused = clone.outboxctl(arguments, variables).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stdout);
        assert!(refused.stderr.contains("--mysql-password"), "{}", refused.stderr);
        assert!(!refused.stderr.contains(".stack/env"), "{}", refused.stderr);
    }
    // What names no server goes together with it, and before it.
    let other = [("DATABASE_NAME", "analytics_ctl_nothing")];
    let found = clone.outboxctl(&["adopt", "--wait", "0", "--json"], &other).await;
    assert_eq!(found.code, Some(0), "{}{}", found.stdout, found.stderr);
    assert!(found.stderr.contains("/.stack/env"), "{}", found.stderr);
    let help = clone.outboxctl(&["help", "verify"], &[]).await.stdout;
    let password = help.split("--mysql-password").nth(1).unwrap().split("--").next().unwrap();
    assert!(!password.contains("[default"), "a secret is not shown: {password}");

    std::fs::remove_dir_all(&clone.0).unwrap();
    stack.mongodb.client().database("analytics_ctl_nothing").drop().await.unwrap();
    stack.drop().await;
}
