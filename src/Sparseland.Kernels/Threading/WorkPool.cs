namespace Sparseland.Kernels.Threading;

/// <summary>A piece of work cut into numbered parts that may run in any order, each exactly once.</summary>
internal interface IParts
{
    /// <summary>Runs part <paramref name="part"/>; parts write to disjoint memory.</summary>
    void Run(int part);
}

/// <summary>The one pool of threads behind all kernels.</summary>
/// <remarks>
/// Every output element is computed by one part from start to end, so results do not depend on how many threads take the parts. Work is cut by its
/// shape; the number of threads may decide how many outputs a part has (compiled products, bands of convolutions, products with one vector), never how an output is summed. A call from inside a part
/// runs on the calling thread, and so does one that comes while another caller's parts run: callers at the same time have a core each, which wastes nothing.
/// Each thread begins with its own share of neighbouring parts, the same in every kernel of a network, so that what a
/// thread wrote is what it reads next; then it helps the others.
/// </remarks>
public static class WorkPool
{
    /// <summary>Name of the environment variable that sets the number of threads at start: 1 to 1024; where it is not set or empty, all processors. Anything else is refused: see <see cref="Threads"/>.</summary>
    public const string EnvironmentVariable = "SPARSELAND_THREADS";

    private static readonly Lock s_gate = new();
    // 0 until someone asks: a value that is refused is an error of who asks, and none of the type.
    private static int s_threads;
    private static volatile PoolWorker[] s_workers = [];
    private static volatile Job? s_job;
    private static int s_given;
    private static int s_awake;
    private static int s_giver = -1;

    [ThreadStatic]
    private static bool t_inside;

    /// <summary>Threads that a kernel may use, the caller's included; at least 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to less than 1 or more than 1024.</exception>
    /// <exception cref="ArgumentException">Read, here or by any kernel or session, while it was never set and the environment variable <see cref="EnvironmentVariable"/> holds no number from 1 to 1024; the message names both.</exception>
    public static int Threads
    {
        get => Volatile.Read(ref s_threads) is > 0 and int threads ? threads : FromEnvironment();
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, 1024);
            Volatile.Write(ref s_threads, value);
        }
    }

    /// <summary>The work that is being done; null between kernels.</summary>
    internal static Job? Current => s_job;

    /// <summary>Counts the jobs, so that a worker sees a new one.</summary>
    internal static int JobsGiven => Volatile.Read(ref s_given);

    /// <summary>The processor on which the last job was given out; -1 where that is not known.</summary>
    internal static int Giver => Volatile.Read(ref s_giver);

    /// <summary>Whether someone announced more work to come.</summary>
    internal static bool KeptAwake => Volatile.Read(ref s_awake) > 0;

    /// <summary>
    /// Announces many kernels in a row (one run of a network, one training step): idle threads wait for the next one without
    /// going to sleep, a few milliseconds at most, until the result is disposed.
    /// </summary>
    public static AwakeScope KeepAwake()
    {
        int threads = Threads;
        if (threads <= 1 || t_inside) return default;
        Interlocked.Increment(ref s_awake);
        PoolWorker[] workers = s_workers;
        for (int i = 0; i < Math.Min(threads - 1, workers.Length); i++) workers[i].Wake();
        return new AwakeScope(true);
    }

    /// <summary>Whether parts given from the calling thread would run one after the other on it.</summary>
    internal static bool IsAlone => Threads <= 1 || t_inside;

    /// <summary>Runs parts 0 .. parts-1 of <paramref name="work"/>; returns when all have run.</summary>
    internal static void Run<TWork>(int parts, TWork work) where TWork : IParts
    {
        int threads = Math.Min(Threads, parts);
        if (threads <= 1 || t_inside || !s_gate.TryEnter())
        {
            for (int part = 0; part < parts; part++) work.Run(part);
            return;
        }

        try
        {
            PoolWorker[] workers = EnsureWorkers(threads - 1);
            var job = new Job<TWork>(parts, threads, work);
            s_job = job;
            Volatile.Write(ref s_giver, Placement.Current);
            // The step is a full fence: a worker that is about to sleep either sees it or is seen asleep below.
            Interlocked.Increment(ref s_given);
            for (int i = 0; i < threads - 1; i++) workers[i].Wake();
            t_inside = true;
            try
            {
                job.Take(0);
            }
            finally
            {
                t_inside = false;
            }
            job.WaitForParts();
            s_job = null;
            job.Rethrow();
        }
        finally
        {
            s_gate.Exit();
        }
    }

    /// <summary>Runs <paramref name="body"/> for 0 .. parts-1; for callers outside the hot kernels.</summary>
    /// <param name="parts">Number of parts, 0 or more.</param>
    /// <param name="body">Called once per part, from any thread of the pool.</param>
    public static void For(int parts, Action<int> body)
    {
        ArgumentNullException.ThrowIfNull(body);
        Run(parts, new ActionParts(body));
    }

    /// <summary>The number of threads that results from a requested one.</summary>
    /// <exception cref="ArgumentException">It is no number from 1 to 1024.</exception>
    internal static int Choose(string? requested, int processors)
    {
        if (string.IsNullOrWhiteSpace(requested)) return processors;
        return int.TryParse(requested, out int n) && n is >= 1 and <= 1024 ? n
            : throw new ArgumentException($"{EnvironmentVariable} is '{requested}'; expected a number from 1 to 1024.", nameof(requested));
    }

    private static int FromEnvironment()
    {
        int threads = Choose(Environment.GetEnvironmentVariable(EnvironmentVariable), Environment.ProcessorCount);
        // Who set it meanwhile is right.
        int before = Interlocked.CompareExchange(ref s_threads, threads, 0);
        return before > 0 ? before : threads;
    }

    private static PoolWorker[] EnsureWorkers(int count)
    {
        PoolWorker[] workers = s_workers;
        if (workers.Length >= count) return workers;
        PoolWorker[] more = [.. workers, .. Enumerable.Range(workers.Length + 1, count - workers.Length).Select(i => new PoolWorker(i))];
        s_workers = more;
        for (int i = workers.Length; i < count; i++)
        {
            PoolWorker worker = more[i];
            new Thread(() =>
            {
                t_inside = true;
                worker.Loop();
            })
            { IsBackground = true, Name = $"sparseland-{i + 1}" }.Start();
        }
        return more;
    }

    /// <summary>Lets idle threads sleep again when disposed; see <see cref="KeepAwake"/>.</summary>
    public readonly struct AwakeScope : IDisposable
    {
        private readonly bool _counts;

        internal AwakeScope(bool counts) => _counts = counts;

        /// <inheritdoc/>
        public void Dispose()
        {
            if (_counts) Interlocked.Decrement(ref s_awake);
        }
    }

    private readonly struct ActionParts(Action<int> body) : IParts
    {
        public void Run(int part) => body(part);
    }
}
