using System.Text;

namespace Sparseland.Model.Tests.Formats.TorchCheckpoint;

/// <summary>Writes pickles opcode by opcode (protocol 2), so that tests do not depend on Python.</summary>
internal sealed class PickleBuilder
{
    private readonly MemoryStream _bytes = new();

    internal PickleBuilder() => Raw(0x80, 2);

    internal PickleBuilder Raw(params byte[] bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    internal PickleBuilder Text(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        return Raw((byte)'X').Raw(BitConverter.GetBytes(utf8.Length)).Raw(utf8);
    }

    internal PickleBuilder Int(long value) => value is >= int.MinValue and <= int.MaxValue
        ? Raw((byte)'J').Raw(BitConverter.GetBytes((int)value))
        : Raw(0x8a, 8).Raw(BitConverter.GetBytes(value));

    internal PickleBuilder None() => Raw((byte)'N');

    internal PickleBuilder Global(string module, string name) => Raw((byte)'c').Raw(Encoding.ASCII.GetBytes($"{module}\n{name}\n"));

    internal PickleBuilder Tuple(params Action<PickleBuilder>[] items)
    {
        Raw((byte)'(');
        foreach (Action<PickleBuilder> item in items) item(this);
        return Raw((byte)'t');
    }

    internal PickleBuilder Ints(params long[] values) => Tuple([.. values.Select<long, Action<PickleBuilder>>(v => p => p.Int(v))]);

    internal PickleBuilder List(params Action<PickleBuilder>[] items)
    {
        Raw((byte)']', (byte)'(');
        foreach (Action<PickleBuilder> item in items) item(this);
        return Raw((byte)'e');
    }

    internal PickleBuilder Dict(params (string Key, Action<PickleBuilder> Value)[] items)
    {
        Raw((byte)'}', (byte)'(');
        foreach ((string key, Action<PickleBuilder> value) in items) value(Text(key));
        return Raw((byte)'u');
    }

    internal PickleBuilder Reduce(string module, string name, params Action<PickleBuilder>[] arguments) =>
        Global(module, name).Tuple(arguments).Raw((byte)'R');

    /// <summary>A tensor as torch.save writes it: a view of storage <paramref name="key"/>.</summary>
    internal PickleBuilder Tensor(string key, string storageType, long count, long offset, long[] size, long[] stride, Action<PickleBuilder>? view = null) =>
        Reduce("torch._utils", "_rebuild_tensor_v2",
            p => p.Tuple(q => q.Text("storage"), q => q.Global("torch", storageType), q => q.Text(key), q => q.Text("cpu"), q => q.Int(count), view ?? (q => q.None())).Raw((byte)'Q'),
            p => p.Int(offset), p => p.Ints(size), p => p.Ints(stride), p => p.Raw(0x89), p => p.Reduce("collections", "OrderedDict"));

    internal byte[] End()
    {
        Raw((byte)'.');
        return _bytes.ToArray();
    }

    /// <summary>The legacy stream around an object and its storages.</summary>
    internal static byte[] Legacy(byte[] root, params (string Key, byte[] Data, int ElementSize)[] storages)
    {
        var stream = new MemoryStream();
        stream.Write(new PickleBuilder().Raw(0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19).End());
        stream.Write(new PickleBuilder().Int(1001).End());
        stream.Write(new PickleBuilder().Dict(("protocol_version", p => p.Int(1001)), ("little_endian", p => p.Raw(0x88))).End());
        stream.Write(root);
        stream.Write(new PickleBuilder().List([.. storages.Select<(string Key, byte[], int), Action<PickleBuilder>>(s => p => p.Text(s.Key))]).End());
        foreach ((_, byte[] data, int elementSize) in storages)
        {
            stream.Write(BitConverter.GetBytes((long)(data.Length / elementSize)));
            stream.Write(data);
        }
        return stream.ToArray();
    }

    internal static byte[] Floats(params float[] values) => [.. values.SelectMany(BitConverter.GetBytes)];
}
