using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Sparseland.Model;

namespace Sparseland.Reproductions.Running;

/// <summary>Runs pieces of work as one Slurm array job; tasks that get lost are submitted again, and nothing else is.</summary>
/// <remarks>
/// Every task leaves its exit code in the folder, which all nodes must share. A task that is neither in the queue nor has left a code is lost (node failure, preemption, time limit): up to
/// <see cref="Attempts"/> times it is submitted again in an array of its own. A task that ended with an error is not: the same program on the same input ends the same way.
/// Codes and logs bear the number of their array: tasks that outlive a program that was killed say nothing to the next one. While Slurm does not answer, nothing counts as lost.
/// The number of the array that runs is noted in the folder: what a program that was killed left in the queue is cancelled before anything is submitted, or its work would be done twice.
/// </remarks>
/// <param name="command">The program, with arguments that come before those of the work; the same path on every node.</param>
/// <param name="folder">A folder that all nodes see, for the script, exit codes and logs.</param>
public sealed class SlurmEngine(IReadOnlyList<string> command, string folder) : IWorkEngine
{
    private readonly string _folder = Path.GetFullPath(folder);

    /// <summary>Tasks at a time; null leaves it to Slurm.</summary>
    public int? Workers { get; init; }

    /// <summary>The partition; null takes the cluster's default.</summary>
    public string? Partition { get; init; }

    /// <summary>Longest time of a task; Slurm ends it then, and it counts as lost. Null takes the partition's limit.</summary>
    public TimeSpan? TimeLimit { get; init; }

    /// <summary>How often a lost task is tried in all.</summary>
    public int Attempts { get; init; } = 3;

    /// <summary>Time between looks at the queue.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>The command that submits.</summary>
    public string Sbatch { get; init; } = "sbatch";

    /// <summary>The command that shows the queue.</summary>
    public string Squeue { get; init; } = "squeue";

    /// <summary>The command that cancels.</summary>
    public string Scancel { get; init; } = "scancel";

    /// <inheritdoc/>
    /// <exception cref="SparselandException">SL6005: Slurm is not installed, or refuses the job.</exception>
    public async Task<IReadOnlyList<WorkOutcome>> RunAsync(IReadOnlyList<WorkItem> items, Action<double, string>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(items);
        Directory.CreateDirectory(_folder);
        await CancelLeftoverAsync(progress, cancellation).ConfigureAwait(false);
        // Codes of failures stay beside their logs until here; an array that gets their number on a cluster that was set up anew would end before it ran.
        foreach (string old in Directory.GetFiles(_folder, "task-*.code")) File.Delete(old);
        WriteScript(items);
        var outcomes = new WorkOutcome?[items.Count];
        int[] attempts = new int[items.Count];
        var jobs = new List<string>();
        int[] missing = [.. Enumerable.Range(0, items.Count)];
        try
        {
            while (missing.Length > 0)
            {
                string job = Submit(missing);
                jobs.Add(job);
                File.WriteAllText(Noted, job);
                foreach (int i in missing) attempts[i]++;
                await WaitAsync(job, items, outcomes, missing, progress, cancellation).ConfigureAwait(false);
                int[] lost = [.. missing.Where(i => outcomes[i] is null)];
                foreach (int i in lost.Where(i => attempts[i] >= Attempts))
                    outcomes[i] = new WorkOutcome(items[i], -1, $"lost {attempts[i]} times; the last log is {Log(job, i)}");
                missing = [.. lost.Where(i => outcomes[i] is null)];
                // What went wrong keeps its log; nothing of another array is touched.
                foreach (int i in Enumerable.Range(0, items.Count).Where(i => outcomes[i] is { ExitCode: 0 }))
                {
                    File.Delete(Code(job, i));
                    File.Delete(Log(job, i));
                }
            }
        }
        catch (OperationCanceledException)
        {
            foreach (string job in jobs) Run(Scancel, [job]);
            throw;
        }
        File.Delete(Noted);
        return [.. outcomes.Select(o => o!)];
    }

    /// <summary>Cancels the array that a killed program left, and waits until no task of it runs: a task that is ending may still write its result.</summary>
    private async Task CancelLeftoverAsync(Action<double, string>? progress, CancellationToken cancellation)
    {
        if (!File.Exists(Noted)) return;
        string job = File.ReadAllText(Noted).Trim();
        bool cancelled = false;
        while (job.Length > 0 && job.All(char.IsAsciiDigit))
        {
            // Numbers come again when a cluster is set up anew: only an array of this folder's script is this engine's.
            (int exit, string queue, string error) = Run(Squeue, ["-h", "-r", "-j", job, "-o", "%o"]);
            // Without the command nothing can be submitted either, which is said then.
            if (exit == int.MinValue) return;
            if (exit != 0 && error.Contains("Invalid job id", StringComparison.OrdinalIgnoreCase)) break;
            if (exit == 0 && !queue.Split('\n').Any(c => c.Trim().StartsWith(Script, StringComparison.Ordinal))) break;
            if (exit == 0 && !cancelled) cancelled = Run(Scancel, [job]).Exit == 0;
            progress?.Invoke(0, exit == 0 ? $"waiting for the end of array {job}, which an earlier run left" : "Slurm does not answer");
            await Task.Delay(Interval, cancellation).ConfigureAwait(false);
        }
        File.Delete(Noted);
    }

    private async Task WaitAsync(string job, IReadOnlyList<WorkItem> items, WorkOutcome?[] outcomes, int[] tasks, Action<double, string>? progress, CancellationToken cancellation)
    {
        int gone = 0;
        while (true)
        {
            foreach (int i in tasks.Where(i => outcomes[i] is null && File.Exists(Code(job, i))))
            {
                if (int.TryParse(File.ReadAllText(Code(job, i)).Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int code)) outcomes[i] = new WorkOutcome(items[i], code, code == 0 ? "" : Tail(Log(job, i), 20));
            }
            Report(job, items, outcomes, progress);
            if (tasks.All(i => outcomes[i] is not null)) return;
            // An array that is over is unknown to the queue. A shared file system may show exit codes a little later than that.
            (int exit, string queue, string error) = Run(Squeue, ["-h", "-r", "-j", job, "-o", "%i"]);
            bool over = exit == 0 ? queue.Trim().Length == 0 : error.Contains("Invalid job id", StringComparison.OrdinalIgnoreCase);
            gone = over ? gone + 1 : 0;
            if (gone >= 3) return;
            await Task.Delay(Interval, cancellation).ConfigureAwait(false);
        }
    }

    private void Report(string job, IReadOnlyList<WorkItem> items, WorkOutcome?[] outcomes, Action<double, string>? progress)
    {
        if (progress is null) return;
        double done = 0;
        var running = new List<string>();
        for (int i = 0; i < items.Count; i++)
        {
            if (outcomes[i] is not null)
            {
                done++;
                continue;
            }
            string[] parts = Tail(Log(job, i), 1).Split(' ', 3);
            if (parts.Length < 2 || parts[0] != "progress" || !double.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out double fraction)) continue;
            done += fraction;
            running.Add(items[i].Name);
        }
        progress(done, running.Count == 0 ? "waiting in the queue" : string.Join(" | ", running.Take(4)));
    }

    private void WriteScript(IReadOnlyList<WorkItem> items)
    {
        var text = new StringBuilder("#!/bin/bash\ncase $SLURM_ARRAY_TASK_ID in\n");
        for (int i = 0; i < items.Count; i++)
            text.Append(CultureInfo.InvariantCulture, $"{i}) {string.Join(' ', command.Concat(items[i].Arguments).Select(Quote))} ;;\n");
        text.Append(CultureInfo.InvariantCulture, $"esac\ncode=$?\ncd {Quote(_folder)}\n# Ended by a signal (preemption, scancel, memory): leaves no code and counts as lost.\ncase $code in 130|137|143) exit $code ;; esac\nname=\"task-$SLURM_ARRAY_JOB_ID-$SLURM_ARRAY_TASK_ID\"\necho $code > \"$name.part\" && mv \"$name.part\" \"$name.code\"\n");
        File.WriteAllText(Script, text.ToString());
    }

    private string Submit(int[] tasks)
    {
        var arguments = new List<string>
        {
            "--parsable", "--job-name=sparseland", "--cpus-per-task=1", "--no-requeue", "--chdir=" + Environment.CurrentDirectory, $"--array={string.Join(',', tasks)}{(Workers is { } n ? "%" + n : "")}",
            "--open-mode=truncate", "--output=" + Path.Combine(_folder, "task-%A-%a.log"),
        };
        if (Partition is not null) arguments.Add("--partition=" + Partition);
        // Slurm counts minutes; a part of one is a whole.
        if (TimeLimit is { } limit) arguments.Add(string.Create(CultureInfo.InvariantCulture, $"--time={Math.Max(1, Math.Ceiling(limit.TotalMinutes)):0}"));
        arguments.Add(Script);
        (int exit, string output, string error) = Run(Sbatch, arguments);
        string job = output.Trim().Split(';')[0];
        if (exit == 0 && job.Length > 0) return job;
        throw new SparselandException("SL6005", exit == int.MinValue ? $"Slurm's command '{Sbatch}' is not on this machine" : "Slurm refused the job: " + error.Trim())
        {
            Try = "--engine local, or install Slurm (Debian: slurm-wlm)",
        };
    }

    private static (int Exit, string Output, string Error) Run(string program, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string a in arguments) start.ArgumentList.Add(a);
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output, error.GetAwaiter().GetResult());
        }
        catch (Win32Exception e)
        {
            return (int.MinValue, "", e.Message);
        }
    }

    // The array that was submitted last, until all of its tasks have ended.
    private string Noted => Path.Combine(_folder, "array.job");

    private string Script => Path.Combine(_folder, "array.sh");

    private string Code(string job, int task) => Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"task-{job}-{task}.code"));

    private string Log(string job, int task) => Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"task-{job}-{task}.log"));

    private static string Tail(string path, int lines)
    {
        if (!File.Exists(path)) return "";
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        stream.Seek(-Math.Min(stream.Length, 4096), SeekOrigin.End);
        using var reader = new StreamReader(stream);
        string[] all = reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return string.Join('\n', all.TakeLast(lines));
    }

    private static string Quote(string text) => "'" + text.Replace("'", "'\\''", StringComparison.Ordinal) + "'";
}
