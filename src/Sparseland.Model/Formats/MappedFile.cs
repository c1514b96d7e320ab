using System.IO.MemoryMappedFiles;

namespace Sparseland.Model.Formats;

/// <summary>A file mapped read-only into memory, every access checked against its length.</summary>
/// <remarks>
/// Nobody has to dispose it: when the last storage that reads from it is gone, the mapping goes with it. Our writers
/// replace files by renaming, so a mapped file keeps its old contents when it is saved over.
/// </remarks>
public sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedViewAccessor? _view;
    private readonly byte* _pointer;

    private MappedFile(string path, long length, MemoryMappedFile? map)
    {
        Path = path;
        Length = length;
        if (map is null) return;
        // The view stays when the file is closed: others may replace or remove the file while we read it.
        using (map) _view = map.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _pointer = start + _view.PointerOffset;
    }

    /// <summary>The file's path as it was given.</summary>
    public string Path { get; }

    /// <summary>Bytes in the file when it was mapped.</summary>
    public long Length { get; }

    /// <summary>Maps a file.</summary>
    /// <exception cref="ModelFormatException">SL1001: the file does not exist or cannot be read.</exception>
    public static MappedFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
            long length = stream.Length;
            if (length == 0) return new MappedFile(path, 0, null);
            var map = MemoryMappedFile.CreateFromFile(stream, null, length, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            return new MappedFile(path, length, map);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw FormatErrors.CannotRead(path, e);
        }
    }

    /// <summary>The bytes [<paramref name="offset"/>, offset + length), in place.</summary>
    /// <remarks>The span is valid while this object is reachable: call <see cref="GC.KeepAlive"/> after its last use.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the file.</exception>
    public ReadOnlySpan<byte> Span(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(_view is { CanRead: false }, this);
        if (offset < 0 || length < 0 || offset > Length - length)
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes {offset} + {length} are outside '{Path}' of {Length} bytes.");
        return new ReadOnlySpan<byte>(_pointer + offset, length);
    }

    /// <summary>Copies the bytes from <paramref name="offset"/> on into <paramref name="destination"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the file.</exception>
    public void CopyTo(long offset, Span<byte> destination)
    {
        Span(offset, destination.Length).CopyTo(destination);
        GC.KeepAlive(this);
    }

    /// <summary>The first bytes, at most <paramref name="count"/>, as a copy.</summary>
    public byte[] Head(int count)
    {
        var head = new byte[(int)Math.Min(count, Length)];
        CopyTo(0, head);
        return head;
    }

    /// <summary>A stream over a part of the file.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the file.</exception>
    public Stream OpenStream(long offset, long length)
    {
        if (offset < 0 || length < 0 || offset > Length - length)
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes {offset} + {length} are outside '{Path}' of {Length} bytes.");
        return length == 0 ? Stream.Null : new ViewStream(this, _pointer + offset, length);
    }

    /// <summary>Ends the mapping at once; spans taken from it must not be used any more.</summary>
    public void Dispose()
    {
        if (_view is null) return;
        if (_view.CanRead)
        {
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
            _view.Dispose();
        }
    }

    /// <summary>Keeps the mapping alive for as long as the stream is.</summary>
    private sealed class ViewStream(MappedFile owner, byte* start, long length) : UnmanagedMemoryStream(start, length)
    {
        public override int Read(Span<byte> buffer)
        {
            int count = base.Read(buffer);
            GC.KeepAlive(owner);
            return count;
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            int read = base.Read(buffer, offset, count);
            GC.KeepAlive(owner);
            return read;
        }
    }
}
