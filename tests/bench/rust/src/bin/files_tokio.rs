//! Whole files: tokio::fs on a current_thread runtime.
//!
//!     files_tokio DIRECTORY COUNT PASSES [TASKS [THREADS]]
use ferry_bench::{check, number, Files, FILES_IN_FLIGHT};
use std::io;
use std::rc::Rc;
use tokio::task::{spawn_local, LocalSet};

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(number(5, 512))
        .build()?;
    let files = Rc::new(Files::open());
    LocalSet::new().block_on(&runtime, async {
        let load_many = || {
            let files = files.clone();
            spawn_local(async move {
                while let Some(path) = files.next() {
                    check(&tokio::fs::read(path).await?);
                }
                io::Result::Ok(())
            })
        };
        let loaders: Vec<_> = (0..number(4, FILES_IN_FLIGHT)).map(|_| load_many()).collect();
        for loader in loaders {
            loader.await.expect("a task")?;
        }
        io::Result::Ok(())
    })?;
    files.report();
    Ok(())
}
