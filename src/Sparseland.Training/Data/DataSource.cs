using System.Text;
using Sparseland.Model;
using Sparseland.Training.Data.BuiltIn;

namespace Sparseland.Training.Data;

/// <summary>How data is opened.</summary>
public sealed record DataSourceOptions
{
    /// <summary>Where named sets are looked for; null takes the environment variable of <see cref="DataCatalog"/>.</summary>
    public string? DataRoot { get; init; }

    /// <summary>Tokens per sample of text.</summary>
    public int Window { get; init; } = 128;

    /// <summary>Turns text into tokens; null makes every byte a token (vocabulary 256).</summary>
    public TextEncoder? Encoder { get; init; }

    /// <summary>Part of a single text that is kept for validation, above 0 and below 1.</summary>
    public double ValidationFraction { get; init; } = 0.1;

    /// <summary>(height, width) to which pictures of folders are brought; null keeps their size.</summary>
    public (int Height, int Width)? ImageSize { get; init; }

    /// <summary>Channels of pictures of folders, 1 or 3; null lets the pictures decide.</summary>
    public int? Channels { get; init; }

    /// <summary>Seed of the built-in sets.</summary>
    public long Seed { get; init; } = 1;
}

/// <summary>Turns text into tokens.</summary>
/// <param name="VocabularySize">Number of different tokens.</param>
/// <param name="Encode">One document to ids, with the start token where the model expects one.</param>
/// <param name="DocumentSeparator">Text between documents that do not see each other, or null.</param>
public sealed record TextEncoder(int VocabularySize, Func<string, IReadOnlyList<int>> Encode, string? DocumentSeparator = null)
{
    /// <summary>A model's tokenizer: every document starts with the start token, documents end at <c>&lt;|endoftext|&gt;</c>.</summary>
    public static TextEncoder Of(Model.Tokenizers.ITokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        return new TextEncoder(tokenizer.VocabularySize, text => tokenizer.Encode(text), "<|endoftext|>");
    }
}

/// <summary>Data that was found under a name or path.</summary>
/// <param name="Name">What the user called it.</param>
/// <param name="Format">What it turned out to be, for people.</param>
/// <param name="Train">Samples for training, or null.</param>
/// <param name="Test">Samples for evaluation, or null.</param>
/// <param name="Normalization">The usual input normalisation when the set is a known one.</param>
public sealed record DataSource(string Name, string Format, IDataset? Train, IDataset? Test, InputNormalization? Normalization = null)
{
    /// <summary>Most characters of text that are read.</summary>
    public const long MaxTextBytes = 500_000_000;

    /// <summary>The samples to evaluate on: the test set, else the training set.</summary>
    public IDataset ForEvaluation => Test ?? Train ?? throw new InvalidOperationException("The source is empty.");

    /// <summary>The samples to train on.</summary>
    /// <exception cref="DataException">SL3007: there are only test samples.</exception>
    public IDataset ForTraining => Train ?? throw new DataException("SL3007", $"'{Name}' has no training samples") { Try = "name the training files, or point at the folder that holds both parts" };

    /// <summary>Opens a built-in set, a named set below the data root, a folder, a file, or several CIFAR files with commas between them.</summary>
    /// <remarks>
    /// Recognised: IDX pairs, CIFAR binary (*.bin), folders of class folders with PNG files (perhaps below train/ and test/ or val/), .npz, .txt.
    /// Nothing is downloaded.
    /// </remarks>
    /// <exception cref="DataException">Nothing is there, or it is damaged, or it is none of the known forms.</exception>
    public static DataSource Open(string nameOrPath, DataSourceOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(nameOrPath);
        options ??= new DataSourceOptions();
        switch (nameOrPath.ToLowerInvariant())
        {
            case "shapes":
                return new(nameOrPath, "built-in pictures", ProceduralShapes.Create(6000, 16, 1, options.Seed * 2), ProceduralShapes.Create(2000, 16, 1, options.Seed * 2 + 1), new InputNormalization([0.5f], [0.25f]));
            case "shapes-rgb":
                return new(nameOrPath, "built-in pictures", ProceduralShapes.Create(6000, 32, 3, options.Seed * 2), ProceduralShapes.Create(2000, 32, 3, options.Seed * 2 + 1), new InputNormalization([0.5f, 0.5f, 0.5f], [0.25f, 0.25f, 0.25f]));
            case "stories":
                return Text(nameOrPath, "built-in text", ProceduralText.Create(160_000, options.Seed), options);
        }
        if (Directory.Exists(nameOrPath)) return OpenFolder(nameOrPath, nameOrPath, null, options);
        if (File.Exists(nameOrPath)) return OpenFile(nameOrPath, nameOrPath, options);
        if (nameOrPath.Contains(',', StringComparison.Ordinal)) return OpenList(nameOrPath);
        string? root = DataCatalog.Root(options.DataRoot);
        CatalogEntry? entry = DataCatalog.Find(nameOrPath);
        if (entry is not null) return OpenEntry(entry, root, options);
        if (root is not null && !Path.IsPathRooted(nameOrPath) && !nameOrPath.Contains("..", StringComparison.Ordinal))
        {
            string below = Path.Combine(root, nameOrPath);
            if (Directory.Exists(below)) return OpenFolder(below, nameOrPath, null, options);
            if (File.Exists(below)) return OpenFile(below, nameOrPath, options);
        }
        string[] known = [.. DataCatalog.BuiltIn.Select(b => b.Name), .. DataCatalog.All.Where(e => e.Kind != CatalogKind.Model).Select(e => e.Name)];
        string[] near = [.. known.Where(k => Distance(k, nameOrPath.ToLowerInvariant()) <= 2 || k.Contains(nameOrPath, StringComparison.OrdinalIgnoreCase))];
        throw DataException.NotFound(nameOrPath, $"no file, folder or known data set '{nameOrPath}'",
            near.Length > 0 ? $"did you mean {string.Join(" or ", near)}?" : $"known sets: {string.Join(", ", known)}; or give a path");
    }

    private static DataSource OpenEntry(CatalogEntry entry, string? root, DataSourceOptions options)
    {
        if (entry.Kind == CatalogKind.Model) throw DataException.NotFound(entry.Name, $"'{entry.Name}' is a model, not data", "give it as the model argument");
        string hint = $"get it from {entry.Source} ({entry.Licence}), put it into the folder '{entry.Folder}' below the data root, and set --data-root or {DataCatalog.EnvironmentVariable}";
        if (root is null) throw DataException.NotFound(entry.Name, $"there is no data root in which to look for '{entry.Name}'", hint);
        string folder = Path.Combine(root, entry.Folder);
        if (!Directory.Exists(folder) || !entry.IsPresent(root)) throw DataException.NotFound(folder, $"the files of '{entry.Name}' are not below {root}", hint);
        if (entry.Kind == CatalogKind.Text)
        {
            string[] files = [.. entry.Files.Select(f => entry.PathOf(root, f.Name)).Where(File.Exists)];
            if (entry.EvaluationOnly) return new(entry.Name, "text", null, Tokens(ReadText(files[0]), options));
            if (files.Length == 1) return OpenFile(files[0], entry.Name, options);
            return new(entry.Name, "text", Tokens(ReadText(files[0]), options), Tokens(ReadText(files[^1]), options));
        }
        if (entry.Files.All(f => f.Required) && entry.Files.All(f => f.Name.EndsWith(".bin", StringComparison.Ordinal)))
        {
            ILookup<bool, string> parts = entry.Files.Select(f => entry.PathOf(root, f.Name)).ToLookup(p => Path.GetFileName(p).Contains("test", StringComparison.Ordinal));
            return new(entry.Name, "CIFAR binary", CifarFiles.Read([.. parts[false]]), CifarFiles.Read([.. parts[true]]), entry.Normalization);
        }
        return OpenFolder(folder, entry.Name, entry, options);
    }

    private static DataSource OpenFolder(string folder, string name, CatalogEntry? entry, DataSourceOptions options)
    {
        string[] files = [.. Directory.GetFiles(folder).Order(StringComparer.Ordinal)];
        entry ??= DataCatalog.Find(Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))));
        IDataset? train = Idx(files, "train", entry), test = Idx(files, "t10k", entry) ?? Idx(files, "test", entry);
        if (train is not null || test is not null) return new(name, "IDX files", train, test, entry?.Normalization);

        foreach (bool hundred in (bool[])[false, true])
        {
            // Files of labels and the like lie beside the records; only names that CIFAR uses are taken.
            string[] records = [.. files.Where(f => f.EndsWith(".bin", StringComparison.OrdinalIgnoreCase) && CifarFiles.HasRecordLength(new FileInfo(f).Length, hundred))];
            string[] a = [.. records.Where(f => Named(f, "data_batch", "train"))], b = [.. records.Where(f => Named(f, "test"))];
            if (a.Length == 0 && b.Length == 0 && records.Length > 0) a = records;
            if (a.Length + b.Length == 0) continue;
            return new(name, hundred ? "CIFAR-100 binary" : "CIFAR-10 binary", a.Length > 0 ? CifarFiles.Read(a, hundred) : null, b.Length > 0 ? CifarFiles.Read(b, hundred) : null,
                entry?.Normalization ?? (hundred ? null : InputNormalization.ImageNet));
        }

        string trainFolder = Path.Combine(folder, "train");
        string? testFolder = ((string[])["test", "val", "valid", "validation"]).Select(t => Path.Combine(folder, t)).FirstOrDefault(PictureFolder.Looks);
        if (PictureFolder.Looks(trainFolder) || testFolder is not null)
        {
            PictureDataset? a = PictureFolder.Looks(trainFolder) ? PictureFolder.Read(trainFolder, options.ImageSize, options.Channels) : null;
            PictureDataset? b = testFolder is null ? null : PictureFolder.Read(testFolder, options.ImageSize, options.Channels ?? a?.SampleShape[0], a?.ClassNames);
            return new(name, "folders of pictures", a, b);
        }
        if (PictureFolder.Looks(folder)) return new(name, "folders of pictures", PictureFolder.Read(folder, options.ImageSize, options.Channels), null);

        string[] single = [.. files.Where(f => f.EndsWith(".npz", StringComparison.OrdinalIgnoreCase) || f.EndsWith(".txt", StringComparison.OrdinalIgnoreCase))];
        if (single.Length == 1) return OpenFile(single[0], name, options);
        throw DataException.NotFound(folder, "the folder holds no data in a known form",
            "IDX pairs (train-images-idx3-ubyte...), CIFAR *.bin, a folder of PNG files per class, one .npz or one .txt; or name a file" + (single.Length > 1 ? $", for example {Path.GetFileName(single[0])}" : ""));
    }

    private static DataSource OpenFile(string path, string name, DataSourceOptions options)
    {
        string file = Path.GetFileName(path).ToLowerInvariant();
        if (file.EndsWith(".npz", StringComparison.Ordinal))
        {
            (IDataset? train, IDataset? test) = NpzDataset.Read(path);
            return new(name, "npz", train, test);
        }
        if (file.EndsWith(".txt", StringComparison.Ordinal) || file.EndsWith(".md", StringComparison.Ordinal)) return Text(name, "text", ReadText(path), options);
        if (file.Contains("idx", StringComparison.Ordinal))
        {
            string partner = file.Contains("idx1", StringComparison.Ordinal)
                ? Path.GetFileName(path).Replace("labels", "images", StringComparison.OrdinalIgnoreCase).Replace("idx1", "idx3", StringComparison.OrdinalIgnoreCase)
                : Path.GetFileName(path).Replace("images", "labels", StringComparison.OrdinalIgnoreCase).Replace("idx3", "idx1", StringComparison.OrdinalIgnoreCase);
            string other = Path.Combine(Path.GetDirectoryName(path) ?? "", partner);
            if (!File.Exists(other)) throw DataException.NotFound(other, "the file of pictures needs the file of labels beside it, and the other way round");
            PictureDataset data = file.Contains("idx1", StringComparison.Ordinal) ? IdxFiles.ReadPair(other, path) : IdxFiles.ReadPair(path, other);
            return file.StartsWith("train", StringComparison.Ordinal) ? new(name, "IDX files", data, null) : new(name, "IDX files", null, data);
        }
        if (file.EndsWith(".bin", StringComparison.Ordinal)) return OpenList(path);
        throw new DataException("SL3014", $"'{Path.GetFileName(path)}' is no data file of a known form") { Where = path, Try = "IDX, CIFAR .bin, .npz, .txt, or a folder of PNG files per class" };
    }

    private static DataSource OpenList(string list)
    {
        string[] paths = list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        foreach (string path in paths)
        {
            if (!File.Exists(path)) throw DataException.NotFound(path, $"there is no file '{path}'");
        }
        bool hundred = Array.TrueForAll(paths, p => CifarFiles.HasRecordLength(new FileInfo(p).Length, true)) && !Array.TrueForAll(paths, p => CifarFiles.HasRecordLength(new FileInfo(p).Length));
        string[] test = [.. paths.Where(p => Path.GetFileName(p).Contains("test", StringComparison.OrdinalIgnoreCase))], train = [.. paths.Except(test)];
        return new(list, "CIFAR binary", train.Length > 0 ? CifarFiles.Read(train, hundred) : null, test.Length > 0 ? CifarFiles.Read(test, hundred) : null, hundred ? null : InputNormalization.ImageNet);
    }

    private static bool Named(string path, params string[] starts) => Array.Exists(starts, s => Path.GetFileName(path).StartsWith(s, StringComparison.OrdinalIgnoreCase));

    private static PictureDataset? Idx(string[] files, string part, CatalogEntry? entry)
    {
        string? images = Array.Find(files, f => Named(f, part) && Path.GetFileName(f).Contains("images", StringComparison.OrdinalIgnoreCase) && Path.GetFileName(f).Contains("idx", StringComparison.OrdinalIgnoreCase));
        string? labels = Array.Find(files, f => Named(f, part) && Path.GetFileName(f).Contains("labels", StringComparison.OrdinalIgnoreCase) && Path.GetFileName(f).Contains("idx", StringComparison.OrdinalIgnoreCase));
        return images is null || labels is null ? null : IdxFiles.ReadPair(images, labels, entry?.ClassNames);
    }

    private static string ReadText(string path)
    {
        long length = new FileInfo(path).Length;
        if (length > MaxTextBytes) throw DataException.TooLarge(path, $"{length:N0} bytes of text; the limit is {MaxTextBytes:N0}");
        return File.ReadAllText(path, Encoding.UTF8);
    }

    private static DataSource Text(string name, string format, string text, DataSourceOptions options)
    {
        TokenDataset all = Tokens(text, options);
        if (all.Tokens.Length < 8) return new(name, format, null, all);
        (TokenDataset train, TokenDataset validation) = all.SplitTail(options.ValidationFraction);
        // Training sees windows at many offsets, evaluation every token once; the whole text is what a perplexity is quoted on.
        var dense = new TokenDataset(train.Tokens.ToArray(), train.ClassCount, options.Window, Math.Max(1, options.Window / 4), train.ByteCount);
        return new DataSource(name, format, dense, validation) { WholeText = all };
    }

    private static TokenDataset Tokens(string text, DataSourceOptions options)
    {
        try
        {
            if (options.Encoder is not { } encoder) return TokenDataset.FromBytes(Encoding.UTF8.GetBytes(text), options.Window);
            string[] documents = encoder.DocumentSeparator is { Length: > 0 } separator
                ? [.. text.Split(separator).Select(d => d.Trim()).Where(d => d.Length > 0)]
                : [text];
            return TokenDataset.FromDocuments(documents, encoder.Encode, encoder.VocabularySize, options.Window);
        }
        catch (ArgumentException e)
        {
            throw new DataException("SL3009", $"the text cannot be used: {e.Message}", e);
        }
    }

    /// <summary>For text: all of it, every token but the first of each document predicted once; null otherwise.</summary>
    public TokenDataset? WholeText { get; init; }

    /// <summary>Levenshtein distance, for near misses.</summary>
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int next = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                (diagonal, row[j]) = (row[j], next);
            }
        }
        return row[^1];
    }
}
