using Sparseland.Model.Formats.Zip;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.TorchCheckpoint;

/// <summary>A file written by <c>torch.save</c>: the tensors in it and where they stand; no code of it is ever run.</summary>
/// <remarks>
/// All three layouts (zip since 1.6, the stream before, the tar before 0.1.10). The unpickler constructs tensors, containers and
/// numbers; a name of anything else, such as <c>os.system</c> or a model class, is an error that says which.
/// </remarks>
public sealed class TorchCheckpointFile
{
    private const int MaxDepth = 64, MaxVisited = 1 << 22;

    private static readonly string[] s_usualKeys =
        ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params", "params_ema", "model_ema", "state_dict_ema", "policy"];

    private readonly object? _root;
    private readonly string _path;

    private TorchCheckpointFile(string path, object? root)
    {
        _path = path;
        _root = root;
        All = Flatten(root, "");
    }

    /// <summary>Every tensor of the file; names of nested dictionaries, lists and tuples joined with dots.</summary>
    public Checkpoint All { get; }

    /// <summary>The keys of the outermost dictionary; empty when the file holds something else.</summary>
    public IEnumerable<string> TopLevelKeys => _root is PickleDict dict ? dict.Items.Select(i => PickleText.Key(i.Key)) : [];

    /// <summary>Reads the structure of a file; tensors are read when asked for.</summary>
    /// <exception cref="ModelFormatException">SL1001, SL1301 (damaged), SL1302 (asks for code), SL1303 (limits), SL1304 (element type), SL1004 (too large).</exception>
    public static TorchCheckpointFile Load(string path)
    {
        MappedFile file = MappedFile.Open(path);
        byte[] head = file.Head(512);
        object? root;
        if (ZipDirectory.LooksLikeZip(head)) root = TorchContainers.LoadZip(file);
        else if (TorchContainers.LooksLikeLegacy(head)) root = TorchContainers.LoadLegacy(file);
        else if (TorchContainers.LooksLikeTar(head)) root = TorchContainers.LoadTar(file);
        else root = TorchContainers.LoadPickle(file);
        return new TorchCheckpointFile(path, root);
    }

    internal static bool LooksLike(ReadOnlySpan<byte> head) => TorchContainers.LooksLikeLegacy(head) || TorchContainers.LooksLikeTar(head);

    /// <summary>The weights of the model in the file, without optimiser state and counters around them.</summary>
    /// <param name="key">The entry of the outermost dictionary (or a dotted path); null finds it: the file itself when it holds tensors directly, else the usual names, else the only entry with tensors.</param>
    /// <exception cref="ModelFormatException">SL1305: there are no tensors there.</exception>
    public Checkpoint FindStateDict(string? key = null)
    {
        Checkpoint found = key is not null ? Flatten(Descend(key), "") : Search();
        if (found.Tensors.Count == 0)
        {
            throw new ModelFormatException("SL1305", key is null ? "the checkpoint holds no tensors" : $"the checkpoint holds no tensors under '{key}'")
            {
                Where = _path,
                Because = $"its outermost entries are: {string.Join(", ", TopLevelKeys.Take(20))}",
            };
        }
        return found;
    }

    private Checkpoint Search()
    {
        if (_root is not PickleDict dict) return All;
        if (dict.Items.Exists(i => i.Value is TorchTensor)) return Flatten(WithoutOptimizer(dict), "");
        foreach (string usual in s_usualKeys)
        {
            if (dict.Find(usual) is not PickleDict) continue;
            Checkpoint candidate = Flatten(dict.Find(usual), "");
            if (candidate.Tensors.Count > 0) return candidate;
        }
        List<Checkpoint> others = [];
        foreach ((object? key, object? value) in dict.Items)
        {
            if (value is not PickleDict || PickleText.Key(key).Contains("optim", StringComparison.OrdinalIgnoreCase)) continue;
            Checkpoint candidate = Flatten(value, "");
            if (candidate.Tensors.Count > 0) others.Add(candidate);
        }
        return others.Count == 1 ? others[0] : All;
    }

    private object? Descend(string path)
    {
        object? here = _root;
        if (here is PickleDict root && root.Index.ContainsKey(path)) return root.Find(path);
        foreach (string part in path.Split('.')) here = (here as PickleDict)?.Find(part);
        return here;
    }

    private Checkpoint Flatten(object? root, string prefix)
    {
        var result = new Checkpoint(_path, "PyTorch checkpoint");
        int visited = 0;
        Visit(root, prefix, 0);
        return result;

        void Visit(object? value, string name, int depth)
        {
            if (depth > MaxDepth) throw TorchErrors.OverLimit(_path, $"containers are nested more than {MaxDepth} deep, or contain themselves");
            if (++visited > MaxVisited) throw TorchErrors.OverLimit(_path, $"there are more than {MaxVisited} values");
            switch (value)
            {
                case TorchTensor tensor:
                    if (!result.Tensors.TryAdd(name.Length == 0 ? "tensor" : name, tensor)) throw TorchErrors.Damaged(_path, $"two tensors are named '{name}'");
                    break;
                case PickleDict dict:
                    foreach ((object? key, object? item) in dict.Items) Child(PickleText.Key(key), item);
                    break;
                case PickleList list:
                    for (int i = 0; i < list.Items.Count; i++) Child(i.ToString(System.Globalization.CultureInfo.InvariantCulture), list.Items[i]);
                    break;
                case PickleTuple tuple:
                    for (int i = 0; i < tuple.Items.Length; i++) Child(i.ToString(System.Globalization.CultureInfo.InvariantCulture), tuple.Items[i]);
                    break;
                case string or bool or long or double when name.Length > 0 && result.Metadata.Count < 1000:
                    result.Metadata.TryAdd(name, PickleText.Describe(value));
                    break;
            }

            void Child(string key, object? item) => Visit(item, name.Length == 0 ? key : $"{name}.{key}", depth + 1);
        }
    }

    private static PickleDict WithoutOptimizer(PickleDict source)
    {
        var dict = new PickleDict();
        foreach ((object? key, object? value) in source.Items)
        {
            if (!PickleText.Key(key).Contains("optimizer", StringComparison.OrdinalIgnoreCase)) dict.Set(key, value);
        }
        return dict;
    }
}
