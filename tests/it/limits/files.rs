//! Code that wants more files than there are for it. None of them is ever on the host's disk.

use pymd::domain::StreamName;

use super::{Limits, limits, outcomes, survive};

#[tokio::test]
async fn a_million_open_files() {
    let limits = Limits { open_files: 100, ..limits() };
    let expected = [
        ("OSError", "files = [open(f'/tmp/{i}', 'w', 1) for i in range(10**6)]"),
        ("OSError", "import os\nopen('f', 'w').close()\nwhile True: os.open('f', os.O_RDONLY)"),
        ("OSError", "import os\nwhile True: os.open('/tmp', os.O_RDONLY)"),
    ];
    outcomes(&limits, &expected).await;
    // Closing them is all it takes; the programs that come after find no handle taken.
    let code = "import os\nf = [os.open('/tmp', os.O_RDONLY) for _ in range(80)]\n\
        for x in f: os.close(x)\nf = [os.open('/tmp', os.O_RDONLY) for _ in range(80)]\nprint(len(f))";
    assert_eq!(survive(code, &limits).await.text(StreamName::Stdout), "80\n");
}

#[tokio::test]
async fn a_terabyte_in_one_file() {
    let expected = [
        ("OSError", "open('big', 'wb').truncate(1 << 40)"),
        ("OSError", "f = open('big', 'wb'); f.seek(1 << 40); f.write(b'x'); f.flush()"),
        ("OSError", "import os; os.truncate(open('big', 'wb').fileno(), 2**63 - 1)"),
        ("OSError", "f = open('big', 'wb', 0)\nwhile True: f.write(b'x' * (1 << 20))"),
        ("OSError", "import os\nfor i in range(10**6): open(f'{i}', 'wb').write(b'x' * (1 << 20))"),
    ];
    outcomes(&Limits { disk_bytes: 64 << 20, ..limits() }, &expected).await;
}

#[tokio::test]
async fn a_million_small_files_or_directories() {
    let expected = [
        ("OSError", "for i in range(10**6): open(f'/tmp/{i}', 'w').close()"),
        ("OSError", "import os\nfor i in range(10**6): os.mkdir(f'/tmp/{i}')"),
        ("OSError", "import os\nfor i in range(10**6): os.mkdir('d'); os.chdir('d')"),
        ("OSError", "import os\nfor i in range(10**6): os.symlink('x' * 200, f'/tmp/{i}')"),
        ("OSError", "open('x' * 10**6, 'w')"),
        ("OSError", "open('/'.join(['x'] * 10**6), 'w')"),
    ];
    outcomes(&limits(), &expected).await;
}

#[tokio::test]
async fn nothing_outside_can_be_named() {
    let code = "import os\nfound = []\n\
        for path in ('/etc/passwd', '/proc/self/maps', '../../../etc/passwd', '/dev/null', '/root', '//etc/passwd'):\n \
        try: found.append(open(path).read())\n except OSError: pass\n\
        print(found, {'etc', 'proc', 'dev', 'root', 'home', 'sys'} & set(os.listdir('/')))";
    let report = survive(code, &limits()).await;
    assert_eq!(report.text(StreamName::Stdout), "[] set()\n");
}
