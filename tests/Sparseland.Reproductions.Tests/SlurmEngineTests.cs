using System.Diagnostics;
using Sparseland.Model;
using Sparseland.Reproductions.Running;

namespace Sparseland.Reproductions.Tests;

/// <summary>Against a real Slurm of one node, started by tests/slurm/single-node.sh; skipped where slurm-wlm is not installed.</summary>
public sealed class SlurmEngineTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-slurm-").FullName;
    private bool _started;

    public void Dispose()
    {
        if (_started) Script("stop");
        try
        {
            Directory.Delete(_folder, true);
        }
        catch (IOException)
        {
            // A daemon that is ending may still write its log.
        }
    }

    private (int Exit, string Text) Script(params string[] more)
    {
        DirectoryInfo d = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(d.FullName, "Sparseland.slnx"))) d = d.Parent!;
        var start = new ProcessStartInfo("bash") { RedirectStandardOutput = true };
        foreach (string a in (string[])[Path.Combine(d.FullName, "tests", "slurm", "single-node.sh"), Path.Combine(_folder, "slurm"), .. more]) start.ArgumentList.Add(a);
        using Process process = Process.Start(start)!;
        // The daemons inherit the pipe: read one line, not to the end.
        string text = process.StandardOutput.ReadLine() ?? "";
        process.WaitForExit();
        return (process.ExitCode, text);
    }

    private void StartSlurm()
    {
        Skip.IfNot(OperatingSystem.IsLinux() && File.Exists("/usr/sbin/slurmctld") && File.Exists("/usr/sbin/slurmd"), "Slurm is not installed (Debian: slurm-wlm)");
        Skip.IfNot(Environment.UserName == "root", "a Slurm of one node is started as root");
        (int exit, string text) = Script();
        _started = true;
        Skip.IfNot(exit == 0 && text.EndsWith("slurm.conf", StringComparison.Ordinal), "a Slurm of one node does not start on this machine");
        Environment.SetEnvironmentVariable("SLURM_CONF", text);
    }

    [SkippableFact]
    public async Task An_array_runs_lost_tasks_again_and_nothing_else()
    {
        StartSlurm();
        string Count(string name) => $"echo x >> {_folder}/{name}";
        var engine = new SlurmEngine(["/bin/sh", "-c"], Path.Combine(_folder, "work")) { Interval = TimeSpan.FromMilliseconds(300), Workers = 2 };
        double last = 0;
        IReadOnlyList<WorkOutcome> outcomes = await engine.RunAsync(
        [
            new WorkItem("good", [Count("a") + "; echo \"it's 'quoted'\""]),
            // The first time it is taken from the queue without a trace, as by a failing node.
            new WorkItem("lost once", [Count("b") + $"; if [ $(wc -l < {_folder}/b) = 1 ]; then scancel ${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}; sleep 60; fi"]),
            new WorkItem("bad", [Count("c") + "; echo why; exit 7"]),
            new WorkItem("good too", ["echo 'progress 0.5 half'; " + Count("d")]),
        ], (done, _) => last = done);
        Assert.Equal([0, 0, 7, 0], outcomes.Select(o => o.ExitCode));
        Assert.Contains("why", outcomes[2].Errors);
        Assert.Equal([1, 2, 1, 1], ((string[])["a", "b", "c", "d"]).Select(f => File.ReadAllLines(Path.Combine(_folder, f)).Length));
        Assert.Equal(4, last);
        // Only what went wrong leaves a log.
        Assert.All(Directory.GetFiles(Path.Combine(_folder, "work"), "task-*-*.code"), f => Assert.EndsWith("-2.code", f));

        // A code that a task of another array leaves, one that outlived a killed program, is not this array's.
        for (int job = 0; job < 50; job++) await File.WriteAllTextAsync(Path.Combine(_folder, "work", $"task-{1000 + job}-0.code"), "0");
        await File.WriteAllTextAsync(Path.Combine(_folder, "work", "task-0.code"), "0");
        Assert.Equal(9, (await engine.RunAsync([new WorkItem("own", ["exit 9"])]))[0].ExitCode);

        // Cancelling takes the job from the queue.
        using var cancel = new CancellationTokenSource(1000);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => engine.RunAsync([new WorkItem("long", ["sleep 300"])], null, cancel.Token));
        string queue = "x";
        for (int i = 0; i < 50 && queue.Length > 0; i++)
        {
            using Process squeue = Process.Start(new ProcessStartInfo("squeue", ["-h"]) { RedirectStandardOutput = true })!;
            queue = squeue.StandardOutput.ReadToEnd().Trim();
            await Task.Delay(200);
        }
        Assert.Equal("", queue);
    }

    [SkippableFact]
    public async Task An_array_that_a_killed_program_left_is_cancelled_before_its_work_is_submitted_again()
    {
        StartSlurm();
        string work = Path.Combine(_folder, "work"), note = Path.Combine(work, "array.job");
        SlurmEngine Engine() => new(["/bin/sh", "-c"], work) { Interval = TimeSpan.FromMilliseconds(200) };
        // Submitted and not waited for, as by a program that was killed: cancelling would take the array from the queue.
        string script = Path.Combine(work, "array.sh");
        Directory.CreateDirectory(work);
        await File.WriteAllTextAsync(script, $"#!/bin/bash\necho x >> {_folder}/old\nsleep 300\n");
        string Ask(string command, params string[] arguments)
        {
            using Process process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardOutput = true })!;
            string text = process.StandardOutput.ReadToEnd().Trim();
            process.WaitForExit();
            return text;
        }
        string Left(string path) => Ask("sbatch", "--parsable", "--array=0", "--output=/dev/null", path).Split(';')[0];
        string job = Left(script);
        await File.WriteAllTextAsync(note, job);
        for (int i = 0; i < 100 && !File.Exists(Path.Combine(_folder, "old")); i++) await Task.Delay(100);
        // The task says what it still sees of the old array.
        IReadOnlyList<WorkOutcome> outcomes = await Engine().RunAsync([new WorkItem("again", [$"squeue -h -r -j {job} -o %i > {_folder}/seen 2> /dev/null; exit 0"])]);
        Assert.Equal(0, outcomes[0].ExitCode);
        Assert.Equal("", (await File.ReadAllTextAsync(Path.Combine(_folder, "seen"))).Trim());
        Assert.False(File.Exists(note), "an array that is over is not noted");

        // A number that is another script's by now is not touched.
        string other = Path.Combine(_folder, "other.sh");
        await File.WriteAllTextAsync(other, "#!/bin/bash\nsleep 300\n");
        string foreign = Left(other);
        await File.WriteAllTextAsync(note, foreign);
        Assert.Equal(0, (await Engine().RunAsync([new WorkItem("again", ["exit 0"])]))[0].ExitCode);
        Assert.NotEqual("", Ask("squeue", "-h", "-r", "-j", foreign, "-o", "%i"));
        Ask("scancel", foreign);
    }

    [SkippableFact]
    public async Task Tasks_are_submitted_with_their_time_limit()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the stand-in for sbatch is a shell script");
        string sbatch = Path.Combine(_folder, "sbatch");
        await File.WriteAllTextAsync(sbatch, $"#!/bin/sh\nprintf '%s\\n' \"$@\" > {_folder}/arguments\nexit 1\n");
        if (OperatingSystem.IsLinux()) File.SetUnixFileMode(sbatch, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var engine = new SlurmEngine(["true"], Path.Combine(_folder, "work")) { Sbatch = sbatch, TimeLimit = TimeSpan.FromSeconds(90), Partition = "short" };
        Assert.Equal("SL6005", (await Assert.ThrowsAsync<SparselandException>(() => engine.RunAsync([new WorkItem("a", [])]))).Code);
        string[] arguments = await File.ReadAllLinesAsync(Path.Combine(_folder, "arguments"));
        Assert.Contains("--time=2", arguments);
        Assert.Contains("--partition=short", arguments);
    }

    [SkippableFact]
    public async Task While_slurm_does_not_answer_nothing_is_lost()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the stand-ins for Slurm's commands are shell scripts");
        string work = Path.Combine(_folder, "work"), code = Path.Combine(work, "task-7-0.code");
        // A failure of an earlier array that had the same number says nothing of this one.
        Directory.CreateDirectory(work);
        await File.WriteAllTextAsync(code, "9");
        // The queue is silent six times, twice as often as an array that is over; then the task has ended.
        string Stand(string name, string text)
        {
            string path = Path.Combine(_folder, name);
            File.WriteAllText(path, "#!/bin/sh\n" + text);
            if (OperatingSystem.IsLinux()) File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return path;
        }
        var engine = new SlurmEngine(["true"], work)
        {
            Sbatch = Stand("sbatch", $"echo x >> {_folder}/submitted; echo 7\n"),
            Squeue = Stand("squeue", $"echo x >> {_folder}/asked; if [ $(wc -l < {_folder}/asked) = 6 ]; then echo 5 > {code}; fi; echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n"),
            Interval = TimeSpan.FromMilliseconds(10),
        };
        Assert.Equal(5, (await engine.RunAsync([new WorkItem("a", [])]))[0].ExitCode);
        Assert.Single(await File.ReadAllLinesAsync(Path.Combine(_folder, "submitted")));
    }

    [Fact]
    public async Task Without_slurm_it_is_said_before_anything_runs()
    {
        var engine = new SlurmEngine(["true"], _folder) { Sbatch = "no-such-sbatch" };
        SparselandException e = await Assert.ThrowsAsync<SparselandException>(() => engine.RunAsync([new WorkItem("a", [])]));
        Assert.Equal("SL6005", e.Code);
        Assert.Contains("local", e.Try);
    }
}
