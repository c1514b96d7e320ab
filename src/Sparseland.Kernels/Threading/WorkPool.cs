namespace Sparseland.Kernels.Threading;

/// <summary>A piece of work cut into numbered parts that may run in any order, each exactly once.</summary>
internal interface IParts
{
    /// <summary>Runs part <paramref name="part"/>; parts write to disjoint memory.</summary>
    void Run(int part);
}

/// <summary>The one pool of threads behind all kernels.</summary>
/// <remarks>
/// Work is cut into parts by its shape alone, never by the number of threads, and every output element is computed by
/// one part from start to end. So results do not depend on how many threads take the parts. A call from inside a part
/// runs on the calling thread.
/// </remarks>
public static class WorkPool
{
    /// <summary>Name of the environment variable that sets the number of threads at start.</summary>
    public const string EnvironmentVariable = "SPARSELAND_THREADS";

    private static readonly Lock s_gate = new();
    private static readonly SemaphoreSlim s_wake = new(0);
    private static int s_threads = InitialThreads();
    private static int s_workers;
    private static volatile Job? s_job;

    [ThreadStatic]
    private static bool t_inside;

    /// <summary>Threads that a kernel may use, the caller's included; at least 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to less than 1 or more than 1024.</exception>
    public static int Threads
    {
        get => Volatile.Read(ref s_threads);
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, 1024);
            Volatile.Write(ref s_threads, value);
        }
    }

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
            EnsureWorkers(threads - 1);
            var job = new Job<TWork>(parts, work);
            s_job = job;
            // Calls that a busy machine has not answered yet are still pending; more of them would not help.
            int missing = threads - 1 - s_wake.CurrentCount;
            if (missing > 0) s_wake.Release(missing);
            t_inside = true;
            try
            {
                job.Take();
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

    private static int InitialThreads() =>
        int.TryParse(Environment.GetEnvironmentVariable(EnvironmentVariable), out int n) && n is >= 1 and <= 1024
            ? n
            : Environment.ProcessorCount;

    private static void EnsureWorkers(int count)
    {
        while (s_workers < count)
        {
            s_workers++;
            new Thread(Work) { IsBackground = true, Name = $"sparseland-{s_workers}" }.Start();
        }
    }

    private static void Work()
    {
        t_inside = true;
        while (true)
        {
            // A short spin keeps the gaps between the kernels of one network from costing a system call each.
            var spinner = new SpinWait();
            for (int i = 0; i < 200 && s_wake.CurrentCount == 0; i++) spinner.SpinOnce(-1);
            s_wake.Wait();
            Job? job = s_job;
            if (job is null) continue;
            job.Take();
        }
    }

    private readonly struct ActionParts(Action<int> body) : IParts
    {
        public void Run(int part) => body(part);
    }

    private abstract class Job(int parts)
    {
        private int _left = parts;
        private Exception? _error;

        protected bool Failed => Volatile.Read(ref _error) is not null;

        public abstract void Take();

        /// <summary>Waits for parts, not for threads: one that the system has not woken yet holds nobody up.</summary>
        public void WaitForParts()
        {
            var spinner = new SpinWait();
            while (Volatile.Read(ref _left) > 0) spinner.SpinOnce();
        }

        public void Rethrow()
        {
            if (_error is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(_error);
        }

        protected void Fail(Exception e) => Interlocked.CompareExchange(ref _error, e, null);

        protected void Done(int count) => Interlocked.Add(ref _left, -count);
    }

    private sealed class Job<TWork>(int parts, TWork work) : Job(parts) where TWork : IParts
    {
        private readonly TWork _work = work;
        private readonly int _parts = parts;
        private int _next = -1;

        public override void Take()
        {
            int part;
            // After a failure the remaining parts are counted and not run.
            while ((part = Interlocked.Increment(ref _next)) < _parts)
            {
                try
                {
                    if (!Failed) _work.Run(part);
                }
                catch (Exception e)
                {
                    Fail(e);
                }
                Done(1);
            }
        }
    }
}
