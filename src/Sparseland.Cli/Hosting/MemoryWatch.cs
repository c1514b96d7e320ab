namespace Sparseland.Cli.Hosting;

/// <summary>Keeps --memory-limit: refuses work that is known to be too large, and stops the process's work when it grows beyond the limit.</summary>
/// <remarks>What counts is the working set, which holds mapped model files too. It is looked at a few times a second, so a single large
/// allocation between two looks is seen only afterwards; the estimate before the work is there for that.</remarks>
internal sealed class MemoryWatch : IDisposable
{
    private static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(200);
    private readonly long _limit;
    private readonly Action _stop;
    private readonly Timer _timer;
    private int _reached;

    /// <summary>Starts watching.</summary>
    /// <param name="limit">Bytes.</param>
    /// <param name="stop">Called once, when the limit is passed.</param>
    /// <exception cref="VerbException">The process is larger than that already.</exception>
    public MemoryWatch(long limit, Action stop)
    {
        _limit = limit;
        _stop = stop;
        Require(0, "starting");
        _timer = new Timer(_ => Look(), null, s_interval, s_interval);
    }

    /// <summary>Whether the limit was passed.</summary>
    public bool Reached => Volatile.Read(ref _reached) != 0;

    /// <summary>Refuses work that does not fit.</summary>
    /// <param name="bytes">What the work needs beside what is held now.</param>
    /// <param name="work">For the message.</param>
    public void Require(long bytes, string work)
    {
        long need = Environment.WorkingSet + bytes;
        if (need <= _limit) return;
        throw new VerbException(ExitCodes.OverLimit, "SL5006", $"{work} would need about {need / 1e6:0} MB; --memory-limit is {_limit / 1e6:0} MB")
        {
            Try = $"--memory-limit {Math.Ceiling(need * 1.2 / 1e8) * 100:0}MB, or a smaller --batch",
        };
    }

    public void Dispose() => _timer.Dispose();

    private void Look()
    {
        if (Environment.WorkingSet <= _limit || Interlocked.Exchange(ref _reached, 1) != 0) return;
        try
        {
            _stop();
        }
        catch (ObjectDisposedException)
        {
            // The verb ended between the look and the stop.
        }
    }
}
