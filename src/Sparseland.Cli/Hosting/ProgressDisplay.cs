using System.Diagnostics;
using Spectre.Console;

namespace Sparseland.Cli.Hosting;

/// <summary>Receives how far a piece of work has come.</summary>
internal interface IWorkProgress
{
    /// <summary>Says that <paramref name="done"/> of the total is finished.</summary>
    /// <param name="done">0 to the total given at the start.</param>
    /// <param name="detail">A few words such as "loss 0.31"; null keeps the last ones.</param>
    void Report(double done, string? detail = null);
}

/// <summary>Shows progress with remaining time: a live bar on a terminal, a plain line now and then elsewhere.</summary>
internal static class ProgressDisplay
{
    private static readonly TimeSpan s_plainInterval = TimeSpan.FromSeconds(5);

    // The first line cannot say how long the work will take: the next one comes sooner.
    private static readonly TimeSpan s_firstInterval = TimeSpan.FromSeconds(1);

    /// <summary>Runs <paramref name="work"/> under a progress display.</summary>
    public static async Task<T> TrackAsync<T>(this VerbContext context, string title, double total, Func<IWorkProgress, T> work)
    {
        if (context.Settings.NoProgress)
        {
            return await Task.Run(() => work(new Silent())).ConfigureAwait(false);
        }

        bool live = !context.Settings.Json && !Console.IsOutputRedirected && context.Console.Profile.Capabilities.Interactive;
        if (!live)
        {
            var plain = new Plain(context, title, total);
            T plainResult = await Task.Run(() => work(plain)).ConfigureAwait(false);
            plain.Finish();
            return plainResult;
        }

        T result = default!;
        await context.Console.Progress()
            .AutoClear(true)
            .HideCompleted(false)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .StartAsync(async display =>
            {
                ProgressTask task = display.AddTask(Markup.Escape(title), maxValue: Math.Max(total, 1e-9));
                result = await Task.Run(() => work(new Live(task, title))).ConfigureAwait(false);
                task.Value = task.MaxValue;
            }).ConfigureAwait(false);
        return result;
    }

    private sealed class Silent : IWorkProgress
    {
        public void Report(double done, string? detail = null)
        {
        }
    }

    private sealed class Live(ProgressTask task, string title) : IWorkProgress
    {
        public void Report(double done, string? detail = null)
        {
            task.Value = done;
            if (detail is not null) task.Description = Markup.Escape($"{title}  {detail}");
        }
    }

    private sealed class Plain(VerbContext context, string title, double total) : IWorkProgress
    {
        private readonly Stopwatch _watch = Stopwatch.StartNew();
        private readonly Lock _gate = new();
        private readonly RemainingTime _remaining = new();
        private TimeSpan _next = TimeSpan.Zero;
        private string _detail = "";

        public void Report(double done, string? detail = null)
        {
            lock (_gate)
            {
                if (detail is not null) _detail = detail;
                TimeSpan now = _watch.Elapsed;
                double fraction = total > 0 ? Math.Clamp(done / total, 0, 1) : 0;
                TimeSpan? remaining = _remaining.After(now, fraction);
                if (now < _next || done <= 0) return;
                _next = now + (remaining is null ? s_firstInterval : s_plainInterval);
                string left = remaining is { } time ? $", {Format(time)} left" : "";
                context.Say($"{title}: {fraction:P0}{left}{(_detail.Length > 0 ? "  " + _detail : "")}");
            }
        }

        public void Finish() => context.Say($"{title}: done in {Format(_watch.Elapsed)}{(_detail.Length > 0 ? "  " + _detail : "")}");
    }

    /// <summary>How long work will still take, from its pace since it first said how far it was: what came before (loading, compiling, warming up, or what an interrupted run had done) says nothing about that.</summary>
    internal sealed class RemainingTime
    {
        private (TimeSpan Time, double Fraction)? _first;

        /// <summary>Takes note of how far the work is, 0 to 1, and estimates; null while the pace is not known.</summary>
        public TimeSpan? After(TimeSpan now, double fraction)
        {
            _first ??= (now, fraction);
            (TimeSpan time, double begun) = _first.Value;
            return fraction > begun ? (now - time) * ((1 - fraction) / (fraction - begun)) : null;
        }
    }

    /// <summary>A duration as people say it.</summary>
    public static string Format(TimeSpan time) => time.TotalSeconds < 60
        ? $"{time.TotalSeconds:0.0} s"
        : time.TotalHours < 1 ? $"{(int)time.TotalMinutes} min {time.Seconds:00} s" : $"{(int)time.TotalHours} h {time.Minutes:00} min";
}
