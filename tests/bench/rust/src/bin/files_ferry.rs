//! Whole files: Rust on Ferry, 64 tasks.
use ferry_bench::{check, Files, FILES_IN_FLIGHT};
use std::io;
use std::rc::Rc;

fn main() -> io::Result<()> {
    let runtime = ferry::Runtime::new()?;
    let files = Rc::new(Files::open());
    runtime.block_on(async {
        let load_many = || {
            let (handle, files) = (runtime.handle(), files.clone());
            runtime.spawn(async move {
                while let Some(path) = files.next() {
                    check(&ferry::fs::load(&handle, path, 0).await?);
                }
                io::Result::Ok(())
            })
        };
        let loaders: Vec<_> = (0..FILES_IN_FLIGHT).map(|_| load_many()).collect();
        for loader in loaders {
            loader.await?;
        }
        io::Result::Ok(())
    })?;
    files.report();
    Ok(())
}
