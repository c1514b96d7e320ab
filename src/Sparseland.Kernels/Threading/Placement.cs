using System.Numerics;
using System.Runtime.InteropServices;

namespace Sparseland.Kernels.Threading;

/// <summary>Where the system puts a thread that is woken; Linux only, elsewhere nothing happens.</summary>
/// <remarks>
/// In a Linux guest a worker that is woken after some milliseconds of rest was queued behind the very thread that woke it, and
/// stayed there until the next balancing (presumably because a virtual processor that has halted counts as taken away, not as
/// idle). Measured on a KVM guest (2 cores, Linux 6.18), 20 kernels of 8 parts after a rest of 20 ms: parts of 5 microseconds took
/// 861 microseconds in all and parts of 20 took 3316, twice the ideal, as if there were one core; with the processor of the waking thread left out
/// while the worker wakes 527 and 1740. The worker takes it back as soon as it runs. Keeping it off for good won nothing more.
/// <para>Later, too, both can come to share one processor. Neither sleeps, so the system takes both for hot in the cache and may leave them there: networks then took about as long with two threads as with one
/// (<c>scaling --parts threads --networks resnet20,wide-90</c>, wide ResNet-20 at 90 %, commit 63f15ab and this change in turn: 2.0, 1.9 and 1.4 ms; 1.4 in each of three runs). So a worker that finds itself on the
/// processor of the thread that gives it work goes to another (<see cref="Leave"/>).</para>
/// </remarks>
internal sealed unsafe class Placement
{
    private const int MaskBytes = 128; // 1024 processors
    private const int Words = MaskBytes / sizeof(ulong);

    private static volatile bool s_unavailable = !OperatingSystem.IsLinux();

    private readonly ulong[] _allowed = new ulong[Words];
    private int _thread;
    private bool _restricted;
    private long _left;

    /// <summary>The processor that the calling thread runs on; -1 where that is not known.</summary>
    public static int Current
    {
        get
        {
            if (s_unavailable) return -1;
            try
            {
                return sched_getcpu();
            }
            catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
            {
                s_unavailable = true;
                return -1;
            }
        }
    }

    /// <summary>The processors that the calling thread may run on, in order; empty where that is not known.</summary>
    public static int[] Processors()
    {
        if (s_unavailable) return [];
        try
        {
            ulong* mask = stackalloc ulong[Words];
            new Span<ulong>(mask, Words).Clear();
            if (sched_getaffinity(0, MaskBytes, mask) < 0) return [];
            var processors = new List<int>();
            for (int p = 0; p < MaskBytes * 8; p++)
            {
                if ((mask[p / 64] >> (p % 64) & 1) != 0) processors.Add(p);
            }
            return [.. processors];
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            s_unavailable = true;
            return [];
        }
    }

    /// <summary>Keeps the calling thread on one of <see cref="Processors"/> from now on.</summary>
    /// <returns>Whether the system did so.</returns>
    public static bool Pin(int processor)
    {
        ulong* mask = stackalloc ulong[Words];
        new Span<ulong>(mask, Words).Clear();
        mask[processor / 64] = 1UL << (processor % 64);
        return sched_setaffinity(0, MaskBytes, mask) == 0;
    }

    /// <summary>Remembers the calling thread as the one that will be woken.</summary>
    public void Attach()
    {
        if (s_unavailable) return;
        try
        {
            Volatile.Write(ref _thread, gettid());
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            s_unavailable = true;
        }
    }

    /// <summary>Before the attached thread is woken: keeps it off the calling thread's processor.</summary>
    public void LeaveOutCurrent()
    {
        int thread = Volatile.Read(ref _thread);
        if (s_unavailable || thread == 0) return;
        try
        {
            ulong* mask = stackalloc ulong[Words];
            new Span<ulong>(mask, Words).Clear();
            int current = sched_getcpu();
            if (current < 0 || current >= MaskBytes * 8 || sched_getaffinity(thread, MaskBytes, mask) < 0) return;
            new ReadOnlySpan<ulong>(mask, Words).CopyTo(_allowed);
            mask[current / 64] &= ~(1UL << (current % 64));
            int left = 0;
            for (int i = 0; i < Words; i++) left += BitOperations.PopCount(mask[i]);
            if (left == 0) return;
            Volatile.Write(ref _restricted, sched_setaffinity(thread, MaskBytes, mask) == 0);
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            s_unavailable = true;
        }
    }

    /// <summary>On the attached thread: moves it to another processor if it runs on this one; at most once a millisecond, for on a busy machine others may be no better.</summary>
    /// <param name="giver">The processor of the thread that gives work; negative when not known.</param>
    public void Leave(int giver)
    {
        if (giver < 0 || Current != giver || Environment.TickCount64 == _left) return;
        _left = Environment.TickCount64;
        LeaveOutCurrent();
        Release();
    }

    /// <summary>On the attached thread, awake again: allows it everywhere it was allowed before.</summary>
    public void Release()
    {
        if (!Volatile.Read(ref _restricted)) return;
        _restricted = false;
        fixed (ulong* mask = _allowed) _ = sched_setaffinity(0, MaskBytes, mask);
    }

    [DllImport("libc")]
    private static extern int gettid();

    [DllImport("libc")]
    private static extern int sched_getcpu();

    [DllImport("libc")]
    private static extern int sched_getaffinity(int thread, nint size, ulong* mask);

    [DllImport("libc")]
    private static extern int sched_setaffinity(int thread, nint size, ulong* mask);
}
