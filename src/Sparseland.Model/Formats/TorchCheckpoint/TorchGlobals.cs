using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.TorchCheckpoint;

/// <summary>The names that a checkpoint may ask for, and what calling them makes. Everything else is refused.</summary>
internal sealed class TorchGlobals(string where)
{
    private static readonly HashSet<string> s_functions = new(StringComparer.Ordinal)
    {
        "collections.OrderedDict", "collections.Counter", "collections.defaultdict",
        "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
        "torch._tensor._rebuild_from_type_v2", "torch.Tensor", "torch.nn.parameter.Parameter",
        "torch.Size", "torch.device", "torch.dtype",
        "builtins.set", "builtins.frozenset", "builtins.list", "builtins.dict", "builtins.tuple", "builtins.int", "builtins.float", "builtins.bool", "builtins.str", "builtins.complex", "builtins.bytearray",
        "_codecs.encode",
        "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype",
    };

    /// <summary>Resolves a name or refuses it.</summary>
    internal object Find(string module, string name)
    {
        if (module == "__builtin__") module = "builtins";
        if (module is "torch" or "torch.storage" or "torch.cuda")
        {
            if (name.EndsWith("Storage", StringComparison.Ordinal)) return StorageType(module, name);
            if (module == "torch" && DtypeOf(name) is { } dtype) return dtype;
        }
        var global = new PickleGlobal(module, name);
        // The classes that a tensor's type is given as are constants here; calling them is refused in Call.
        return s_functions.Contains(global.FullName) ? global : throw TorchErrors.Forbidden(where, global.FullName);
    }

    /// <summary>Calls an allowed function.</summary>
    internal object? Call(object? function, object? arguments)
    {
        if (function is not PickleGlobal global || arguments is not PickleTuple { Items: var a })
            throw TorchErrors.Damaged(where, $"it calls '{PickleText.Describe(function)}', which is no function");
        switch (global.FullName)
        {
            case "collections.OrderedDict" or "builtins.dict" or "collections.Counter":
                return ToDict(a, 0);
            case "collections.defaultdict":
                return ToDict(a, 1);
            case "builtins.set" or "builtins.frozenset" or "builtins.list":
                return ToList(a);
            case "builtins.tuple" or "torch.Size":
                return new PickleTuple(a.Length == 0 ? [] : ItemsOf(a[0]));
            case "torch.device":
                return new PickleConstant("device:" + string.Join(":", a.Select(PickleText.Describe)));
            case "torch._utils._rebuild_tensor":
                RequireCount(a, 4, global);
                return Tensor(a[0], null, a[1], a[2], a[3]);
            case "torch._utils._rebuild_tensor_v2":
                RequireCount(a, 4, global);
                return Tensor(a[0], null, a[1], a[2], a[3]);
            case "torch._utils._rebuild_tensor_v3":
                RequireCount(a, 7, global);
                return Tensor(a[0], a[6] as TorchDtype, a[1], a[2], a[3]);
            case "torch._utils._rebuild_parameter" or "torch._utils._rebuild_parameter_with_state":
                RequireCount(a, 1, global);
                return a[0] as TorchTensor ?? throw TorchErrors.Damaged(where, "a parameter holds no tensor");
            case "torch._tensor._rebuild_from_type_v2":
                RequireCount(a, 4, global);
                // One level only: nesting would let a file choose how deep we recurse.
                if (a[0] is PickleGlobal { Name: "_rebuild_from_type_v2" }) throw TorchErrors.Damaged(where, "a tensor type is nested in itself");
                return Call(a[0], a[2]);
            case "_codecs.encode":
                RequireCount(a, 1, global);
                return a[0] is string text ? System.Text.Encoding.Latin1.GetBytes(text) : throw TorchErrors.Damaged(where, "_codecs.encode is not given text");
            case "numpy.dtype":
                RequireCount(a, 1, global);
                return new PickleConstant("dtype:" + PickleText.Describe(a[0]));
            case "numpy.core.multiarray.scalar" or "numpy._core.multiarray.scalar":
                RequireCount(a, 2, global);
                return Scalar(PickleText.Describe(a[0]), a[1] as byte[]);
            default:
                throw TorchErrors.Forbidden(where, global.FullName + "(...)");
        }
    }

    /// <summary>Makes the storage that a persistent id names: ('storage', type, key, location, count, view).</summary>
    internal static (string Key, TorchDtype Type, long Count, PickleTuple? View) ParsePersistentId(object? id, string where)
    {
        if (id is PickleTuple { Items: ["storage", TorchDtype type, var key, _, long count, ..] items } && count >= 0 && key is string or long)
            return (PickleText.Key(items[2]), type, count, items.Length > 5 ? items[5] as PickleTuple : null);
        if (id is PickleTuple { Items: ["module", PickleGlobal global, ..] }) throw TorchErrors.Forbidden(where, global.FullName);
        throw TorchErrors.Damaged(where, "a persistent id names no storage");
    }

    private TorchTensor Tensor(object? storage, TorchDtype? dtype, object? offset, object? size, object? stride)
    {
        if (storage is not TorchStorage s || offset is not long start) throw TorchErrors.Damaged(where, "a tensor is rebuilt from something that is no storage");
        ElementType type = dtype?.Type ?? s.Type;
        if (type == ElementType.Undefined) throw TorchErrors.Damaged(where, "a tensor's element type is not known");
        if (s.Type != ElementType.Undefined && s.Type.Size() != type.Size()) throw TorchErrors.Damaged(where, "a tensor's element type is not that of its storage");
        return new TorchTensor(s, type, start, Longs(size), Longs(stride), where);
    }

    private long[] Longs(object? value)
    {
        object?[] items = ItemsOf(value);
        if (items.Length > 64) throw TorchErrors.OverLimit(where, $"a tensor has {items.Length} dimensions (at most 64)");
        return Array.ConvertAll(items, i => i is long l ? l : throw TorchErrors.Damaged(where, "a size or stride is no integer"));
    }

    private object?[] ItemsOf(object? value) => value switch
    {
        PickleTuple t => t.Items,
        PickleList l => [.. l.Items],
        _ => throw TorchErrors.Damaged(where, $"'{PickleText.Describe(value)}' is no sequence"),
    };

    private PickleDict ToDict(object?[] arguments, int at)
    {
        var dict = new PickleDict();
        if (arguments.Length <= at) return dict;
        if (arguments[at] is PickleDict source)
        {
            foreach ((object? key, object? value) in source.Items) dict.Set(key, value);
            return dict;
        }
        foreach (object? pair in ItemsOf(arguments[at]))
        {
            object?[] items = ItemsOf(pair);
            if (items.Length != 2) throw TorchErrors.Damaged(where, "a dictionary is built from something that is no pair");
            dict.Set(items[0], items[1]);
        }
        return dict;
    }

    private PickleList ToList(object?[] arguments)
    {
        var list = new PickleList();
        if (arguments.Length > 0) list.Items.AddRange(ItemsOf(arguments[0]));
        return list;
    }

    private static object Scalar(string type, byte[]? bytes) => (type.TrimStart('d', 't', 'y', 'p', 'e', ':', '<', '|', '='), bytes) switch
    {
        ("f8", { Length: 8 }) => BitConverter.ToDouble(bytes!),
        ("f4", { Length: 4 }) => (double)BitConverter.ToSingle(bytes!),
        ("i8", { Length: 8 }) => BitConverter.ToInt64(bytes!),
        ("i4", { Length: 4 }) => (long)BitConverter.ToInt32(bytes!),
        _ => new PickleConstant($"numpy {type}"),
    };

    private TorchDtype StorageType(string module, string name)
    {
        if (name is "UntypedStorage" or "_UntypedStorage") return new TorchDtype(ElementType.Undefined, name);
        if (module == "torch.storage" && name is "TypedStorage" or "_TypedStorage") throw TorchErrors.Forbidden(where, $"{module}.{name}");
        ElementType type = name switch
        {
            "FloatStorage" => ElementType.Float32,
            "DoubleStorage" => ElementType.Float64,
            "HalfStorage" => ElementType.Float16,
            "BFloat16Storage" => ElementType.BFloat16,
            "CharStorage" => ElementType.Int8,
            "ByteStorage" => ElementType.UInt8,
            "ShortStorage" => ElementType.Int16,
            "IntStorage" => ElementType.Int32,
            "LongStorage" => ElementType.Int64,
            "BoolStorage" => ElementType.Bool,
            "UInt16Storage" => ElementType.UInt16,
            "UInt32Storage" => ElementType.UInt32,
            "UInt64Storage" => ElementType.UInt64,
            _ => throw TorchErrors.Type(where, $"{module}.{name}"),
        };
        return new TorchDtype(type, name);
    }

    private static TorchDtype? DtypeOf(string name)
    {
        ElementType type = name switch
        {
            "float32" or "float" => ElementType.Float32,
            "float64" or "double" => ElementType.Float64,
            "float16" or "half" => ElementType.Float16,
            "bfloat16" => ElementType.BFloat16,
            "int8" => ElementType.Int8,
            "uint8" => ElementType.UInt8,
            "int16" or "short" => ElementType.Int16,
            "int32" or "int" => ElementType.Int32,
            "int64" or "long" => ElementType.Int64,
            "uint16" => ElementType.UInt16,
            "uint32" => ElementType.UInt32,
            "uint64" => ElementType.UInt64,
            "bool" => ElementType.Bool,
            _ => ElementType.Undefined,
        };
        return type == ElementType.Undefined ? null : new TorchDtype(type, name);
    }

    private void RequireCount(object?[] arguments, int count, PickleGlobal global)
    {
        if (arguments.Length < count) throw TorchErrors.Damaged(where, $"{global.FullName} is called with {arguments.Length} arguments");
    }
}

/// <summary>An element type: a storage class or a torch.dtype; undefined for untyped storages.</summary>
internal sealed record TorchDtype(ElementType Type, string Name);
