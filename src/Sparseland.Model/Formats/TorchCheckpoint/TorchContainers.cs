using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using Sparseland.Model.Formats.Zip;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.TorchCheckpoint;

/// <summary>The three ways in which torch.save has laid checkpoints out.</summary>
internal static class TorchContainers
{
    private static readonly BigInteger s_magic = BigInteger.Parse("119547037146038801333356", System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Largest pickle that is read: names and shapes, not weights.</summary>
    private const int MaxPickle = 256 << 20;

    /// <summary>Whether a file may be a legacy stream: a pickle of the magic number.</summary>
    internal static bool LooksLikeLegacy(ReadOnlySpan<byte> head) =>
        head.Length > 13 && head[0] == 0x80 && head[2] == 0x8a && head[3] == 10 && new BigInteger(head.Slice(4, 10)) == s_magic;

    internal static bool LooksLikeTar(ReadOnlySpan<byte> head) => head.Length >= 262 && head.Slice(257, 5).SequenceEqual("ustar"u8);

    /// <summary>Zip form (since 1.6): NAME/data.pkl, NAME/data/KEY, NAME/byteorder.</summary>
    internal static object? LoadZip(MappedFile file)
    {
        string where = file.Path;
        ZipDirectory zip = ZipDirectory.Read(file, "SL1301");
        ZipItem pickle = zip.Items.Values.FirstOrDefault(i => i.Name == "data.pkl" || i.Name.EndsWith("/data.pkl", StringComparison.Ordinal))
            ?? throw TorchErrors.Damaged(where, "the archive holds no data.pkl");
        if (pickle.Length > MaxPickle) throw TorchErrors.OverLimit(where, $"data.pkl has {pickle.Length} bytes (at most {MaxPickle})");
        string root = pickle.Name[..^"data.pkl".Length];
        bool bigEndian = zip.Items.TryGetValue(root + "byteorder", out ZipItem? order) && order.Length < 16 && Encoding.ASCII.GetString(zip.ReadAll(order)).Trim() == "big";
        var storages = new Dictionary<string, TorchStorage>(StringComparer.Ordinal);
        return new Unpickler(zip.ReadAll(pickle), 0, where + ": " + pickle.Name, id =>
        {
            (string key, TorchDtype type, long count, _) = TorchGlobals.ParsePersistentId(id, where);
            if (storages.TryGetValue(key, out TorchStorage? known)) return known;
            if (!zip.Items.TryGetValue($"{root}data/{key}", out ZipItem? item)) throw TorchErrors.Damaged(where, $"storage '{key}' is not in the archive");
            var storage = new TorchStorage(key, type.Type, count);
            storage.Bind(ReaderOf(file, zip, item), item.Length, bigEndian, where);
            return storages[key] = storage;
        }).Load();
    }

    /// <summary>Legacy stream (0.1.10 to 1.5): pickles of magic, protocol, system, object and keys, then the storages.</summary>
    internal static object? LoadLegacy(MappedFile file)
    {
        string where = file.Path;
        byte[] head = ReadPickles(file, where);
        int at = 0;
        Unpickler Next(Func<object?, object?> persistentLoad) => new(head, at, where, persistentLoad);
        object? Run(Func<object?, object?> persistentLoad)
        {
            Unpickler unpickler = Next(persistentLoad);
            object? value = unpickler.Load();
            at = unpickler.Position;
            return value;
        }

        static object? Refuse(object? id) => throw new ModelFormatException("SL1301", "a persistent id stands where none may be");
        if (Run(Refuse) is not BigInteger magic || magic != s_magic) throw TorchErrors.Damaged(where, "the magic number is wrong");
        if (Run(Refuse) is not 1001L) throw TorchErrors.Damaged(where, "the protocol is not 1001");
        bool bigEndian = Run(Refuse) is PickleDict system && system.Find("little_endian") is false;
        var storages = new Dictionary<string, TorchStorage>(StringComparer.Ordinal);
        object? root = Run(id =>
        {
            (string key, TorchDtype type, long count, PickleTuple? view) = TorchGlobals.ParsePersistentId(id, where);
            if (!storages.TryGetValue(key, out TorchStorage? storage)) storages[key] = storage = new TorchStorage(key, type.Type, count);
            return view is null ? storage : ViewOf(storages, storage, view, where);
        });
        if (Run(Refuse) is not PickleList keys) throw TorchErrors.Damaged(where, "the list of storages is missing");
        long position = at;
        foreach (object? entry in keys.Items)
        {
            string key = PickleText.Key(entry);
            if (!storages.TryGetValue(key, out TorchStorage? storage)) throw TorchErrors.Damaged(where, $"storage '{key}' is not used by any tensor");
            position = BindNext(file, storage, position, bigEndian, where);
        }
        foreach (TorchStorage storage in storages.Values)
        {
            if (!storage.IsBound) throw TorchErrors.Damaged(where, $"storage '{storage.Key}' is not in the file");
        }
        if (position != file.Length) throw TorchErrors.Damaged(where, $"{file.Length - position} bytes follow the last storage");
        return root;
    }

    /// <summary>Tar form (before 0.1.10): files storages, tensors, pickle.</summary>
    internal static object? LoadTar(MappedFile file)
    {
        string where = file.Path;
        Dictionary<string, (long Offset, long Length)> entries = ReadTar(file, where);
        if (!entries.TryGetValue("storages", out var storagesAt) || !entries.TryGetValue("tensors", out var tensorsAt) || !entries.TryGetValue("pickle", out var pickleAt))
            throw TorchErrors.Damaged(where, "the archive lacks one of storages, tensors, pickle");
        var storages = new Dictionary<string, TorchStorage>(StringComparer.Ordinal);
        long position = storagesAt.Offset, end = storagesAt.Offset + storagesAt.Length;
        long count = ReadAt<long>(file, ref position, end, where);
        for (long i = 0; i < count; i++)
        {
            PickleTuple entry = ReadAt<PickleTuple>(file, ref position, end, where);
            if (entry.Items is not [var key, _, TorchDtype type]) throw TorchErrors.Damaged(where, "a storage is described wrongly");
            var storage = new TorchStorage(PickleText.Key(key), type.Type, ReadInt64(file, position, end, where));
            position = BindNext(file, storage, position, bigEndian: false, where);
            storages[storage.Key] = storage;
        }
        foreach (object? view in ReadAt<PickleList>(file, ref position, end, where).Items)
        {
            if (view is not PickleTuple { Items: [var target, var source, long offset, long size] } || !storages.TryGetValue(PickleText.Key(source), out TorchStorage? owner))
                throw TorchErrors.Damaged(where, "a storage view is described wrongly");
            storages[PickleText.Key(target)] = SubStorage(owner, PickleText.Key(target), offset, size, where);
        }
        var tensors = new Dictionary<string, TorchTensor>(StringComparer.Ordinal);
        position = tensorsAt.Offset;
        end = tensorsAt.Offset + tensorsAt.Length;
        count = ReadAt<long>(file, ref position, end, where);
        for (long i = 0; i < count; i++)
        {
            PickleTuple entry = ReadAt<PickleTuple>(file, ref position, end, where);
            if (entry.Items is not [var key, var storageKey, _] || !storages.TryGetValue(PickleText.Key(storageKey), out TorchStorage? storage))
                throw TorchErrors.Damaged(where, "a tensor is described wrongly");
            long rank = ReadInt64(file, position, end, where) & 0xFFFFFFFF;
            if (rank > 64) throw TorchErrors.OverLimit(where, $"a tensor has {rank} dimensions (at most 64)");
            long[] numbers = new long[2 * rank + 1];
            for (int k = 0; k < numbers.Length; k++) numbers[k] = ReadInt64(file, position + 8 + 8 * k, end, where);
            position += 8 + 8 * numbers.Length;
            tensors[PickleText.Key(key)] = new TorchTensor(storage, storage.Type, numbers[^1], numbers[..(int)rank], numbers[(int)rank..^1], where);
        }
        byte[] pickle = new byte[Math.Min(pickleAt.Length, MaxPickle)];
        file.CopyTo(pickleAt.Offset, pickle);
        return new Unpickler(pickle, 0, where, id =>
        {
            if (id is PickleTuple { Items: [var inner, ..] }) return inner;
            return tensors.GetValueOrDefault(PickleText.Key(id)) as object ?? storages.GetValueOrDefault(PickleText.Key(id))
                ?? throw TorchErrors.Damaged(where, $"object '{PickleText.Key(id)}' is not in the archive");
        }).Load();
    }

    /// <summary>A plain pickle of containers and numbers, without tensors of torch.</summary>
    internal static object? LoadPickle(MappedFile file) => new Unpickler(ReadPickles(file, file.Path), 0, file.Path,
        _ => throw TorchErrors.Damaged(file.Path, "it refers to storages, but there are none")).Load();

    private static byte[] ReadPickles(MappedFile file, string where)
    {
        // The pickles stand in front; how long they are is only known when they have been read.
        var head = new byte[(int)Math.Min(file.Length, MaxPickle)];
        if (head.Length == 0) throw TorchErrors.Damaged(where, "the file is empty");
        file.CopyTo(0, head);
        return head;
    }

    private static RawRangeReader ReaderOf(MappedFile file, ZipDirectory zip, ZipItem item)
    {
        if (item.Method == 8)
        {
            byte[]? all = null;
            return (offset, destination) => (all ??= zip.ReadAll(item)).AsSpan((int)offset, destination.Length).CopyTo(destination);
        }
        bool verified = false;
        return (offset, destination) =>
        {
            if (!verified) VerifyStored(file, item);
            verified = true;
            file.CopyTo(item.Offset + offset, destination);
        };
    }

    private static void VerifyStored(MappedFile file, ZipItem item)
    {
        uint crc = 0;
        for (long at = 0; at < item.Length;)
        {
            int count = (int)Math.Min(item.Length - at, 1 << 24);
            crc = Crc32.Append(crc, file.Span(item.Offset + at, count));
            at += count;
        }
        GC.KeepAlive(file);
        if (crc != item.Crc) throw TorchErrors.Damaged(file.Path, $"'{item.Name}' has a wrong checksum");
    }

    /// <summary>Binds a storage to "int64 count, then elements" at a position; returns the position behind it.</summary>
    private static long BindNext(MappedFile file, TorchStorage storage, long position, bool bigEndian, string where)
    {
        long count = ReadInt64(file, position, file.Length, where);
        if (count != storage.Count) throw TorchErrors.Damaged(where, $"storage '{storage.Key}' should have {storage.Count} elements, the file says {count}");
        long start = position + 8;
        if (storage.Count > (file.Length - start) / Math.Max(1, storage.Type.Size())) throw TorchErrors.Damaged(where, $"storage '{storage.Key}' of {storage.Count} elements reaches beyond the end: the file is truncated");
        storage.Bind((offset, destination) => file.CopyTo(start + offset, destination), storage.ByteLength, bigEndian, where);
        return start + storage.ByteLength;
    }

    private static TorchStorage ViewOf(Dictionary<string, TorchStorage> storages, TorchStorage root, PickleTuple view, string where)
    {
        if (view.Items is not [var key, long offset, long size]) throw TorchErrors.Damaged(where, "a storage view is described wrongly");
        string name = PickleText.Key(key) + "\0view";
        if (storages.TryGetValue(name, out TorchStorage? known)) return known;
        return storages[name] = SubStorage(root, name, offset, size, where);
    }

    private static TorchStorage SubStorage(TorchStorage owner, string name, long offset, long size, string where)
    {
        if (offset < 0 || size < 0 || offset > owner.Count - size) throw TorchErrors.Damaged(where, "a storage view reaches beyond its storage");
        var view = new TorchStorage(name, owner.Type, size, owner);
        long shift = offset * Math.Max(1, owner.Type.Size());
        view.Bind((at, destination) => owner.Read(shift + at, destination), view.ByteLength, bigEndian: false, where);
        return view;
    }

    private static long ReadInt64(MappedFile file, long position, long end, string where)
    {
        if (position > end - 8) throw TorchErrors.Damaged(where, "it ends where a number should be");
        Span<byte> bytes = stackalloc byte[8];
        file.CopyTo(position, bytes);
        return BinaryPrimitives.ReadInt64LittleEndian(bytes);
    }

    private static T ReadAt<T>(MappedFile file, ref long position, long end, string where)
    {
        var bytes = new byte[(int)Math.Clamp(end - position, 0, 1 << 20)];
        file.CopyTo(position, bytes);
        var unpickler = new Unpickler(bytes, 0, where, _ => throw TorchErrors.Damaged(where, "a persistent id stands where none may be"));
        object? value = unpickler.Load();
        position += unpickler.Position;
        return value is T typed ? typed : throw TorchErrors.Damaged(where, $"'{PickleText.Describe(value)}' stands where {typeof(T).Name} should");
    }

    private static Dictionary<string, (long, long)> ReadTar(MappedFile file, string where)
    {
        var entries = new Dictionary<string, (long, long)>(StringComparer.Ordinal);
        var header = new byte[512];
        for (long at = 0; at <= file.Length - 512;)
        {
            file.CopyTo(at, header);
            if (header[0] == 0) break;
            string name = Encoding.ASCII.GetString(header, 0, 100).TrimEnd('\0');
            long size = 0;
            foreach (byte digit in header.AsSpan(124, 12))
            {
                if (digit is < (byte)'0' or > (byte)'7') break;
                size = size * 8 + (digit - '0');
            }
            if (size > file.Length - at - 512) throw TorchErrors.Damaged(where, $"'{name}' reaches beyond the end of the archive");
            entries[name.StartsWith("./", StringComparison.Ordinal) ? name[2..] : name] = (at + 512, size);
            at += 512 + (size + 511) / 512 * 512;
        }
        return entries;
    }
}
