using System.Numerics;

namespace Sparseland.Training.Autograd;

/// <summary>Recycles the arrays behind tensors, so that a training step reuses the memory of the step before.</summary>
/// <remarks>
/// Sizes are rounded up to one of eight steps per power of two (at most 12.5 % waste). A buffer that was not wanted for
/// <see cref="MaxAge"/> calls of <see cref="Tick(long)"/> (one per forward or backward pass) and <see cref="MaxIdle"/>
/// milliseconds is left to the garbage collector, so a change of batch size does not hold the old memory for ever, and
/// small models that run beside a large one do not age its buffers away.
/// </remarks>
internal sealed class BufferPool
{
    /// <summary>Shorter buffers are not worth pooling.</summary>
    internal const int Smallest = 1024;

    /// <summary>Ticks after which an unused buffer is dropped.</summary>
    internal const int MaxAge = 24;

    /// <summary>Milliseconds after which an unused buffer may be dropped.</summary>
    internal const long MaxIdle = 5000;

    private readonly Lock _gate = new();
    private readonly Dictionary<int, List<(float[] Array, long Tick, long Time)>> _buckets = [];
    private long _tick;
    private long _heldBytes;

    /// <summary>The pool behind every tensor of the process.</summary>
    public static BufferPool Shared { get; } = new();

    /// <summary>Bytes that lie idle in the pool.</summary>
    public long HeldBytes => Interlocked.Read(ref _heldBytes);

    /// <summary>An array of at least <paramref name="length"/> elements with undefined contents.</summary>
    public float[] Rent(int length)
    {
        if (length < Smallest) return length == 0 ? [] : new float[length];
        int size = RoundUp(length);
        lock (_gate)
        {
            if (_buckets.TryGetValue(size, out var bucket) && bucket.Count > 0)
            {
                float[] array = bucket[^1].Array;
                bucket.RemoveAt(bucket.Count - 1);
                _heldBytes -= (long)array.Length * sizeof(float);
                return array;
            }
        }
        return GC.AllocateUninitializedArray<float>(size);
    }

    /// <summary>Takes an array back; nobody may use it any more.</summary>
    public void Return(float[] array)
    {
        if (array.Length < Smallest || array.Length != RoundUp(array.Length)) return;
        lock (_gate)
        {
            if (!_buckets.TryGetValue(array.Length, out var bucket)) _buckets[array.Length] = bucket = [];
            bucket.Add((array, _tick, Environment.TickCount64));
            _heldBytes += (long)array.Length * sizeof(float);
        }
    }

    /// <summary>Marks the end of a pass and drops what was not wanted for a while.</summary>
    public void Tick() => Tick(Environment.TickCount64);

    /// <summary>As <see cref="Tick()"/> at a given time in milliseconds.</summary>
    internal void Tick(long now)
    {
        lock (_gate)
        {
            _tick++;
            foreach (var bucket in _buckets.Values)
            {
                // Buckets are stacks: what lies at the bottom has been idle the longest.
                int old = 0;
                while (old < bucket.Count && _tick - bucket[old].Tick > MaxAge && now - bucket[old].Time > MaxIdle) old++;
                for (int i = 0; i < old; i++) _heldBytes -= (long)bucket[i].Array.Length * sizeof(float);
                if (old > 0) bucket.RemoveRange(0, old);
            }
        }
    }

    /// <summary>The pooled size for a length: a multiple of an eighth of the next lower power of two.</summary>
    internal static int RoundUp(int length)
    {
        if (length <= Smallest) return Math.Max(length, Smallest);
        int step = Math.Max(1, (int)(BitOperations.RoundUpToPowerOf2((uint)length) >> 4));
        long rounded = ((long)length + step - 1) / step * step;
        return rounded > Array.MaxLength ? length : (int)rounded;
    }
}

/// <summary>Memory of a tensor, counted by those of its holders that promise to let go.</summary>
/// <remarks>
/// A new storage has one holder, the tensor it was made for. A tensor in a user's hands never lets go, so its memory is
/// left to the garbage collector; the model's executor and the tape do let go, and the last one to do so hands the array
/// back to the pool. Touching memory that was handed back is an error, never a wrong number.
/// </remarks>
internal sealed class Storage
{
    private readonly Lock _gate = new();
    private float[]? _array;
    private Func<float[]>? _maker;
    private int _holders = 1;

    public Storage(float[] array) => _array = array;

    /// <summary>The memory; it may be longer than the tensor.</summary>
    public float[] Array => _array ?? Make();

    /// <summary>Whether the array is there, or nothing but a promise to make it (<see cref="Defer"/>).</summary>
    public bool IsMade => _array is not null;

    /// <summary>Whether exactly one holder is left, who may therefore overwrite the memory.</summary>
    public bool IsUnique => Volatile.Read(ref _holders) == 1;

    /// <summary>From now on the values live elsewhere: the array is let go, and made anew by <paramref name="maker"/> when somebody asks for it.</summary>
    public void Defer(Func<float[]> maker)
    {
        lock (_gate)
        {
            _maker = maker;
            _array = null;
        }
    }

    /// <summary>One more holder.</summary>
    public void Retain() => Interlocked.Increment(ref _holders);

    /// <summary>One holder less; the last one returns the memory to the pool.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _holders) != 0) return;
        _maker = null;
        if (Interlocked.Exchange(ref _array, null) is { } array) BufferPool.Shared.Return(array);
    }

    private float[] Make()
    {
        lock (_gate)
        {
            if (_array is null && _maker is { } maker)
            {
                _array = maker();
                _maker = null;
            }
            return _array ?? throw new InvalidOperationException("The memory of this tensor was handed back: a gradient function used a tensor that it did not save.");
        }
    }
}
