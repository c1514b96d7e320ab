using System.Runtime.InteropServices;

namespace Sparseland.Kernels.Dense;

/// <summary>Working memory for kernels, aligned to 64 bytes, kept per thread between calls.</summary>
internal static unsafe class Scratch
{
    private const int Slots = 8;

    // What a thread may keep between calls; larger or further buffers are freed at once.
    private const long KeptBytes = 64L << 20;

    // From this size on, what matters is whether memory is still in the second cache.
    private const long LargeBytes = 64 * 1024;

    [ThreadStatic]
    private static Cache? t_cache;

    /// <summary>Memory for <paramref name="floats"/> floats with unspecified content; dispose on the same thread.</summary>
    public static Buffer Rent(long floats)
    {
        // One more cache line lets kernels read a full register behind the last element.
        long bytes = checked((Math.Max(floats, 1) * sizeof(float)) + 128);
        return (t_cache ??= new Cache()).Take(bytes);
    }

    /// <summary>A rented piece of memory.</summary>
    internal readonly struct Buffer(nint address, long bytes) : IDisposable
    {
        /// <summary>The first float, at an address divisible by 64.</summary>
        public float* Pointer => (float*)address;

        /// <inheritdoc/>
        public void Dispose() => (t_cache ??= new Cache()).Give(address, bytes);
    }

    private sealed class Cache
    {
        private readonly nint[] _address = new nint[Slots];
        private readonly long[] _bytes = new long[Slots];
        private readonly long[] _given = new long[Slots];
        private long _kept, _gifts;

        ~Cache()
        {
            foreach (nint address in _address) NativeMemory.AlignedFree((void*)address);
        }

        public Buffer Take(long bytes)
        {
            int best = -1;
            for (int i = 0; i < Slots; i++)
            {
                // Of those that fit and are not wasteful the smallest; of large ones that which was used last: layer after layer works in the same memory, which stays near.
                if (_address[i] != 0 && _bytes[i] >= bytes && _bytes[i] <= (bytes * 4) + 65536 && (best < 0 || (bytes < LargeBytes ? _bytes[i] < _bytes[best] : _given[i] > _given[best]))) best = i;
            }
            if (best >= 0)
            {
                var found = new Buffer(_address[best], _bytes[best]);
                _kept -= _bytes[best];
                _address[best] = 0;
                return found;
            }
            long rounded = (bytes + 4095) & ~4095L;
            return new Buffer((nint)NativeMemory.AlignedAlloc((nuint)rounded, 64), rounded);
        }

        public void Give(nint address, long bytes)
        {
            int smallest = -1;
            for (int i = 0; i < Slots; i++)
            {
                if (_address[i] == 0)
                {
                    if (_kept + bytes > KeptBytes) break;
                    _address[i] = address;
                    _bytes[i] = bytes;
                    _given[i] = ++_gifts;
                    _kept += bytes;
                    return;
                }
                if (smallest < 0 || _bytes[i] < _bytes[smallest]) smallest = i;
            }
            // Full of small ones: the larger is the dearer to get again.
            if (smallest >= 0 && _address[smallest] != 0 && _bytes[smallest] < bytes && _kept - _bytes[smallest] + bytes <= KeptBytes)
            {
                NativeMemory.AlignedFree((void*)_address[smallest]);
                _kept += bytes - _bytes[smallest];
                _address[smallest] = address;
                _bytes[smallest] = bytes;
                _given[smallest] = ++_gifts;
                return;
            }
            NativeMemory.AlignedFree((void*)address);
        }
    }
}
