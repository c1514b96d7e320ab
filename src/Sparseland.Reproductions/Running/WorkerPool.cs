using System.Diagnostics;
using System.Globalization;

namespace Sparseland.Reproductions.Running;

/// <summary>A piece of work for a process of its own.</summary>
/// <param name="Name">What it is, for people.</param>
/// <param name="Arguments">Arguments of the command.</param>
public sealed record WorkItem(string Name, IReadOnlyList<string> Arguments);

/// <summary>What became of a piece of work.</summary>
/// <param name="Item">The work.</param>
/// <param name="ExitCode">The process's exit code; 0 is done.</param>
/// <param name="Errors">The last lines of its standard error.</param>
public sealed record WorkOutcome(WorkItem Item, int ExitCode, string Errors);

/// <summary>Runs pieces of work in parallel processes and adds their progress up.</summary>
/// <remarks>A worker says how far it is by lines <c>progress 0.31 words</c> on its standard output; whoever listens is told one at a time, and never less than before. Cancelling ends every worker and waits for it: a part is written whole or not at all.</remarks>
/// <param name="command">The program, with arguments that come before those of the work.</param>
/// <param name="workers">Processes at a time.</param>
public sealed class WorkerPool(IReadOnlyList<string> command, int workers) : IWorkEngine
{
    private readonly int _workers = workers >= 1 ? workers : throw new ArgumentOutOfRangeException(nameof(workers), workers, "At least 1.");

    /// <inheritdoc/>
    public async Task<IReadOnlyList<WorkOutcome>> RunAsync(IReadOnlyList<WorkItem> items, Action<double, string>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(items);
        double[] done = new double[items.Count];
        var running = new SortedSet<int>();
        var gate = new Lock();
        var outcomes = new WorkOutcome?[items.Count];
        using var slots = new SemaphoreSlim(_workers);
        await Task.WhenAll(Enumerable.Range(0, items.Count).Select(async i =>
        {
            await slots.WaitAsync(cancellation).ConfigureAwait(false);
            try
            {
                Report(i, 0, "", true);
                outcomes[i] = await OneAsync(items[i], (fraction, words) => Report(i, fraction, words, true), cancellation).ConfigureAwait(false);
                Report(i, 1, "", false);
            }
            finally
            {
                slots.Release();
            }
        })).ConfigureAwait(false);
        return [.. outcomes.Select(o => o!)];

        void Report(int i, double fraction, string words, bool runs)
        {
            // Told inside: of two workers that end at once, who was second would else tell of both before who was first, and the last that is told would not be all.
            lock (gate)
            {
                done[i] = Math.Max(done[i], fraction);
                if (runs) running.Add(i);
                else running.Remove(i);
                progress?.Invoke(done.Sum(), string.Join(" | ", running.Select(r => r == i && words.Length > 0 ? $"{items[r].Name}: {words}" : items[r].Name)));
            }
        }
    }

    private async Task<WorkOutcome> OneAsync(WorkItem item, Action<double, string> progress, CancellationToken cancellation)
    {
        var start = new ProcessStartInfo(command[0]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in command.Skip(1).Concat(item.Arguments)) start.ArgumentList.Add(argument);
        using Process process = Process.Start(start) ?? throw new InvalidOperationException($"'{command[0]}' did not start.");
        var errors = new Queue<string>();
        Task output = ReadAsync(process.StandardOutput, line =>
        {
            string[] parts = line.Split(' ', 3);
            if (parts.Length >= 2 && parts[0] == "progress" && double.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out double fraction)) progress(fraction, parts.Length > 2 ? parts[2] : "");
        });
        Task error = ReadAsync(process.StandardError, line =>
        {
            if (errors.Count == 20) errors.Dequeue();
            errors.Enqueue(line);
        });
        using CancellationTokenRegistration stop = cancellation.Register(() =>
        {
            try
            {
                // A worker keeps nothing half-written: it writes its one file at the end, to another name first.
                process.Kill(entireProcessTree: true);
            }
            catch (InvalidOperationException)
            {
                // It ended by itself meanwhile.
            }
        });
        await Task.WhenAll(output, error).ConfigureAwait(false);
        await process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
        cancellation.ThrowIfCancellationRequested();
        return new WorkOutcome(item, process.ExitCode, string.Join('\n', errors));
    }

    private static async Task ReadAsync(StreamReader reader, Action<string> line)
    {
        while (await reader.ReadLineAsync().ConfigureAwait(false) is { } text) line(text);
    }
}
