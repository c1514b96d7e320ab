using System.Buffers;
using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Text.Json;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats.Safetensors;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Compact;

/// <summary>How a compact file is written.</summary>
public sealed record CompactOptions
{
    /// <summary>Stores float32 weights of two or more dimensions in this type: Float32 (exact), BFloat16 or Float16 (rounded).</summary>
    public ElementType ValueType { get; init; } = ElementType.Float32;

    /// <summary>Holds the weights of two or more dimensions in this type, integers with scales included (see <see cref="CompactValues"/>); null leaves it to <see cref="ValueType"/>.</summary>
    public ValueKind? Values { get; init; }
}

/// <summary>The compact form of a model: a safetensors file with the whole graph, masks as bits and kept values only.</summary>
/// <remarks>
/// Size: at most 1.05 x (weights x (1 + density x valueBits) / 8) + header, where the header is safetensors' own and the
/// graph. Tensors: <c>sparseland.graph</c> (deflated JSON), for a dense weight its name, for a sparse one
/// <c>name:mask</c> (bits, 1 = kept, entry i at bit i % 8 of byte i / 8) and <c>name:values</c>; integers have <c>name:scales</c> beside them
/// (<see cref="CompactMatrix"/> says how they lie). Metadata are the model's. Kernels read bits and values where they are mapped.
/// </remarks>
public static class CompactFile
{
    internal const string FormatKey = "sparseland.format", Format = "compact/1", GraphTensor = "sparseland.graph";

    private const int MaxGraphJson = 64 << 20;

    /// <summary>Writes a model, under a temporary name first.</summary>
    /// <exception cref="SparselandException">SL1601: a weight has values where its mask says that they were removed.</exception>
    /// <exception cref="ModelFormatException">SL1003: the file cannot be written.</exception>
    public static void Write(string path, ModelGraph graph, CompactOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        options ??= new CompactOptions();
        if (options.Values is { } kind)
        {
            RequireMasks(graph);
            graph = graph.Clone();
            CompactValues.Apply(graph, kind);
            if (kind == ValueKind.BFloat16) options = options with { ValueType = ElementType.BFloat16 };
        }
        var table = new WriteTable(options);
        var json = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(json)) GraphJson.Write(writer, graph, table);
        var packed = new MemoryStream();
        using (var deflate = new ZLibStream(packed, CompressionLevel.Optimal, leaveOpen: true)) deflate.Write(json.WrittenSpan);
        byte[] bytes = packed.ToArray();
        table.Tensors.Add(KeyValuePair.Create(GraphTensor, WeightStorage.InMemory(TensorData.Wrap(bytes, bytes.Length))));
        var metadata = new Dictionary<string, string>(graph.Metadata, StringComparer.Ordinal) { [FormatKey] = Format };
        SafetensorsWriter.Write(path, table.Tensors, metadata);
    }

    /// <summary>Reads a model; masks are read now, values when asked for.</summary>
    /// <exception cref="ModelFormatException">SL1602 (damaged), SL1603 (version), SL1001, SL12xx (the container).</exception>
    public static ModelGraph Read(string path) => Read(SafetensorsReader.Open(path));

    internal static bool IsCompact(Checkpoint checkpoint) => checkpoint.Metadata.ContainsKey(FormatKey) && checkpoint.Tensors.ContainsKey(GraphTensor);

    internal static ModelGraph Read(Checkpoint file)
    {
        if (!IsCompact(file)) throw Damaged(file.Source, "it is a safetensors file without a graph");
        if (file.Metadata[FormatKey] != Format)
        {
            throw new ModelFormatException("SL1603", $"compact files of form '{file.Metadata[FormatKey]}' are not known")
            {
                Where = file.Source,
                Because = $"this version reads '{Format}'",
                Try = "use the version of Sparseland that wrote the file, or a newer one",
            };
        }
        try
        {
            using JsonDocument document = JsonDocument.Parse(Inflate(file), new JsonDocumentOptions { MaxDepth = 256 });
            ModelGraph graph = GraphJson.Read(document.RootElement, new ReadTable(file));
            foreach ((string key, string value) in file.Metadata)
            {
                if (key != FormatKey) graph.Metadata[key] = value;
            }
            return graph;
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException or KeyNotFoundException or ArgumentException or OverflowException or GraphException or InvalidDataException)
        {
            throw Damaged(file.Source, $"its graph is damaged: {e.Message}", e);
        }
    }

    /// <summary>Checks before a model is saved that no weight is denser than its mask.</summary>
    /// <exception cref="SparselandException">SL1601.</exception>
    internal static void RequireMasks(ModelGraph graph)
    {
        foreach (Weight weight in graph.Weights.Values) RequireMask(weight);
    }

    private static void RequireMask(Weight weight)
    {
        // A storage in a file is masked when it is read, not before.
        if (weight.Mask is not { } mask || weight.Storage.IsLazy) return;
        Mask present = PackedStorage.NonZeroBits(weight.Storage.Read());
        if (present.IsSubsetOf(mask)) return;
        int extra = present.KeptCount - present.And(mask).KeptCount;
        throw new SparselandException("SL1601", $"weight '{weight.Name}' has {extra} values where its mask says that they were removed")
        {
            Because = "something wrote into the weight past its mask; saving would raise the density",
            Try = "set values through Weight.Set, or set the mask again",
        };
    }

    private static ReadOnlyMemory<byte> Inflate(Checkpoint file)
    {
        WeightStorage storage = file.Tensors[GraphTensor];
        if (storage.ElementType != ElementType.UInt8) throw Damaged(file.Source, "its graph is no sequence of bytes");
        using var inflate = new ZLibStream(new MemoryStream(storage.Read().Array<byte>()), CompressionMode.Decompress);
        var json = new ArrayBufferWriter<byte>();
        while (true)
        {
            int count = inflate.Read(json.GetSpan(1 << 16));
            if (count == 0) return json.WrittenMemory;
            json.Advance(count);
            if (json.WrittenCount > MaxGraphJson) throw Damaged(file.Source, $"its graph unpacks to more than {MaxGraphJson} bytes: this looks like a bomb");
        }
    }

    private static ModelFormatException Damaged(string where, string because, Exception? inner = null) =>
        new("SL1602", "this is no sound compact model", inner) { Where = where, Because = because };

    /// <summary>Decides how each weight is stored while the graph is written.</summary>
    private sealed class WriteTable(CompactOptions options) : IWeightTable
    {
        private readonly HashSet<string> _names = new(StringComparer.Ordinal) { GraphTensor, "__metadata__" };

        internal List<KeyValuePair<string, WeightStorage>> Tensors { get; } = [];

        public void Describe(Utf8JsonWriter json, Weight weight)
        {
            if (weight.ElementType == ElementType.String)
            {
                json.WritePropertyName("inline");
                GraphJson.WriteTensor(json, weight.Read());
                return;
            }
            if (weight.Storage is CompactStorage { Matrix.Kind: ValueKind.Int8 or ValueKind.Int4 } integers && (weight.Mask is null || weight.Mask.Equals(integers.AppliedMask)))
            {
                DescribeIntegers(json, weight, integers);
                return;
            }
            TensorData data = weight.Storage.Read();
            RequireMask(weight);
            Mask? kept = weight.Mask ?? (weight.ElementType.IsFloat() ? PackedStorage.ZerosWorthPacking(data, data.ElementType.Size() * 8) : null);
            json.WriteString("type", weight.ElementType.ToString());
            ElementType stored = weight.Storage is CompactStorage { Matrix.Kind: ValueKind.BFloat16 } ? ElementType.BFloat16
                : weight.ElementType == ElementType.Float32 && weight.Shape.Length >= 2 ? options.ValueType : weight.ElementType;
            if (kept is null)
            {
                json.WriteString("dense", AddTensor(weight.Name, new Converted(weight.Storage, stored)));
                return;
            }
            WriteShape(json, weight);
            json.WriteBoolean("masked", weight.Mask is not null);
            WriteMask(json, weight, kept);
            json.WriteString("values", AddTensor(weight.Name + ":values", new Converted(new Packed(weight.Storage, kept), stored)));
        }

        public Weight Find(string name, JsonElement description) => throw new NotSupportedException();

        private void DescribeIntegers(Utf8JsonWriter json, Weight weight, CompactStorage storage)
        {
            CompactMatrix matrix = storage.Matrix;
            json.WriteString("type", weight.ElementType.ToString());
            json.WriteString("integers", matrix.Kind.ToString());
            json.WriteNumber("group", matrix.Kind == ValueKind.Int4 ? matrix.GroupColumns : 0);
            WriteShape(json, weight);
            json.WriteBoolean("masked", weight.Mask is not null);
            if (storage.AppliedMask is { } kept) WriteMask(json, weight, kept);
            json.WriteString("values", AddTensor(weight.Name + ":values", new RawBytes(matrix.Kind == ValueKind.Int8 ? ElementType.Int8 : ElementType.UInt8, matrix.Values)));
            json.WriteString("scales", AddTensor(weight.Name + ":scales", new RawBytes(matrix.Kind == ValueKind.Int8 ? ElementType.Float32 : ElementType.Float16, matrix.Scales)));
        }

        private static void WriteShape(Utf8JsonWriter json, Weight weight)
        {
            json.WriteStartArray("shape");
            foreach (int d in weight.Shape) json.WriteNumberValue(d);
            json.WriteEndArray();
        }

        private void WriteMask(Utf8JsonWriter json, Weight weight, Mask kept)
        {
            byte[] bits = MemoryMarshal.AsBytes(kept.Words)[..((kept.Length + 7) / 8)].ToArray();
            json.WriteString("mask", AddTensor(weight.Name + ":mask", WeightStorage.InMemory(TensorData.Wrap(bits, bits.Length))));
        }

        private string AddTensor(string wish, WeightStorage storage)
        {
            string name = wish;
            for (int i = 2; !_names.Add(name); i++) name = $"{wish}#{i}";
            Tensors.Add(KeyValuePair.Create(name, storage));
            return name;
        }
    }

    /// <summary>Finds each weight's tensors while the graph is read.</summary>
    private sealed class ReadTable(Checkpoint file) : IWeightTable
    {
        public void Describe(Utf8JsonWriter json, Weight weight) => throw new NotSupportedException();

        public Weight Find(string name, JsonElement description)
        {
            if (description.TryGetProperty("inline", out JsonElement inline)) return new Weight(name, GraphJson.ReadTensor(inline));
            ElementType type = GraphJson.ReadType(description.GetProperty("type"));
            if (description.TryGetProperty("dense", out JsonElement dense))
            {
                WeightStorage storage = Tensor(dense);
                RequireType(name, type, storage);
                return new Weight(name, new Converted(storage, type).OrSource());
            }
            long[] shape = [.. description.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64())];
            int count = FormatErrors.CountElements(shape, type, "SL1602", file.Source);
            if (description.TryGetProperty("integers", out JsonElement integers)) return Integers(name, description, integers, FormatErrors.ToInts(shape), count);
            WeightStorage bits = Tensor(description.GetProperty("mask")), values = Tensor(description.GetProperty("values"));
            Mask kept = ReadMask(name, bits, FormatErrors.ToInts(shape), count);
            RequireType(name, type, values);
            return new Weight(name, new PackedStorage(type, kept, values, bits), description.GetProperty("masked").GetBoolean() ? kept : null);
        }

        private Weight Integers(string name, JsonElement description, JsonElement integers, int[] shape, int count)
        {
            if (!Enum.TryParse(integers.GetString(), out ValueKind kind) || !kind.IsQuantized()) throw new FormatException($"'{integers.GetString()}' is no type of integers");
            // Without entries nothing in the file bounds the number of rows, and so what is allocated for them.
            if (shape.Length == 0 || count == 0) throw new FormatException($"'{name}' has no entries");
            int rows = shape[0], columns = count / rows;
            WeightStorage values = Tensor(description.GetProperty("values")), scales = Tensor(description.GetProperty("scales"));
            if (values.ElementType != (kind == ValueKind.Int8 ? ElementType.Int8 : ElementType.UInt8) || scales.ElementType != (kind == ValueKind.Int8 ? ElementType.Float32 : ElementType.Float16))
                throw new FormatException($"the values of '{name}' are {values.ElementType}, its scales {scales.ElementType}");
            Mask? kept = null;
            ReadOnlyMemory<byte>? inPlace = null;
            if (description.TryGetProperty("mask", out JsonElement mask))
            {
                WeightStorage bits = Tensor(mask);
                kept = ReadMask(name, bits, shape, count);
                inPlace = PackedStorage.BitsInPlace(kept, bits, rows, columns);
            }
            CompactMatrix matrix = CompactMatrix.FromParts(rows, columns, kind, inPlace, PackedStorage.BytesInPlace(values), scales.Read().Bytes().ToArray(), description.GetProperty("group").GetInt32());
            if (matrix.Values.Length != values.Shape[0]) throw new FormatException($"'{name}' has {values.Shape[0]} bytes of values; {matrix.Values.Length} belong to it");
            return new Weight(name, new CompactStorage(matrix, shape, kept), description.GetProperty("masked").GetBoolean() ? kept : null);
        }

        private static Mask ReadMask(string name, WeightStorage bits, int[] shape, int count)
        {
            if (bits.ElementType != ElementType.UInt8 || !bits.Shape.SequenceEqual([(count + 7) / 8])) throw new FormatException($"the mask of '{name}' does not have {count} bits");
            var words = new ulong[(count + 63) / 64];
            bits.Read().Bytes().CopyTo(MemoryMarshal.AsBytes(words.AsSpan()));
            return Mask.FromWords(shape, words);
        }

        private WeightStorage Tensor(JsonElement name) => file.Tensors.TryGetValue(name.GetString()!, out WeightStorage? storage)
            ? storage
            : throw new FormatException($"tensor '{name.GetString()}' is missing");

        private static void RequireType(string name, ElementType type, WeightStorage storage)
        {
            if (storage.ElementType != type && !(type == ElementType.Float32 && storage.ElementType is ElementType.BFloat16 or ElementType.Float16))
                throw new FormatException($"weight '{name}' is {type}, its values are {storage.ElementType}");
        }
    }

    /// <summary>The kept values of a weight that is read when it is written.</summary>
    private sealed class Packed(WeightStorage dense, Mask kept) : WeightStorage
    {
        private readonly int[] _shape = [kept.KeptCount];

        public override ElementType ElementType => dense.ElementType;

        public override ReadOnlySpan<int> Shape => _shape;

        public override TensorData Read() => PackedStorage.Pack(dense.Read(), kept);
    }

    /// <summary>Bytes of a matrix as a tensor of one dimension.</summary>
    private sealed class RawBytes(ElementType type, ReadOnlyMemory<byte> bytes) : WeightStorage
    {
        private readonly int[] _shape = [bytes.Length / type.Size()];

        public override ElementType ElementType => type;

        public override ReadOnlySpan<int> Shape => _shape;

        public override TensorData Read()
        {
            TensorData data = TensorData.Zeros(type, _shape);
            bytes.Span.CopyTo(data.Bytes());
            return data;
        }
    }

    /// <summary>Values in another floating-point type.</summary>
    private sealed class Converted(WeightStorage source, ElementType type) : WeightStorage
    {
        public override ElementType ElementType => type;

        public override ReadOnlySpan<int> Shape => source.Shape;

        public override CompactMatrix? Matrix => type == ElementType.Float32 && source is MappedTensor { ElementType: ElementType.BFloat16 } mapped && Shape.Length >= 2 && Shape[0] > 0
            ? CompactMatrix.FromParts(Shape[0], TensorData.CountElements(Shape) / Shape[0], ValueKind.BFloat16, default(ReadOnlyMemory<byte>?), mapped.Memory(CompactMatrix.Slack))
            : null;

        public override TensorData Read()
        {
            TensorData data = source.Read();
            if (data.ElementType == type) return data;
            float[] singles = data.ToSingles();
            return type switch
            {
                ElementType.Float32 => TensorData.Wrap(singles, data.Shape),
                ElementType.BFloat16 => TensorData.Wrap(Array.ConvertAll(singles, v => (BFloat16)v), data.Shape),
                ElementType.Float16 => TensorData.Wrap(Array.ConvertAll(singles, v => (Half)v), data.Shape),
                _ => throw new NotSupportedException($"Weights cannot be stored as {type}."),
            };
        }

        internal WeightStorage OrSource() => source.ElementType == type ? source : this;
    }
}
